// Where a folder keeps its chat templates: chat_template.jinja and additional_chat_templates/*.jinja
// go before the chat_template of tokenizer_config.json, and that before chat_template.json.
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { readJsonObject } from "../load/json.ts";
import { ChatTemplates } from "./chat-template.ts";
import { namedSpecialTokens } from "./config-tokens.ts";
import { Part } from "./part.ts";

export async function readChatTemplates(
  folder: string,
  config: Readonly<Record<string, unknown>>,
  configPath: string,
): Promise<ChatTemplates> {
  const settings = new Part(config, configPath);
  const variables = Object.fromEntries(namedSpecialTokens(settings));
  const files = await readTemplateFiles(folder);
  if (files.size > 0) return new ChatTemplates(folder, files, variables);
  const configured = namedTemplates(settings.get("chat_template"));
  if (configured.size > 0) return new ChatTemplates(folder, configured, variables);
  const path = join(folder, "chat_template.json");
  const older = existsSync(path) ? new Part(await readJsonObject(path), path) : undefined;
  const templates = older ? namedTemplates(older.get("chat_template")) : undefined;
  return new ChatTemplates(folder, templates, variables);
}

async function readTemplateFiles(folder: string): Promise<Map<string, string>> {
  const paths = new Map([["default", join(folder, "chat_template.jinja")]]);
  const more = join(folder, "additional_chat_templates");
  for (const name of existsSync(more) ? (await readdir(more)).sort() : []) {
    if (name.endsWith(".jinja")) paths.set(basename(name, ".jinja"), join(more, name));
  }
  const templates = new Map<string, string>();
  for (const [name, path] of paths) {
    if (existsSync(path)) templates.set(name, await readFile(path, "utf8"));
  }
  return templates;
}

/** One template, or a list of `{ name, template }`. */
function namedTemplates(part: Part): Map<string, string> {
  if (part.missing) return new Map();
  if (!Array.isArray(part.value)) return new Map([["default", part.string()]]);
  return new Map(
    part.list().map((entry) => [entry.get("name").string(), entry.get("template").string()]),
  );
}
