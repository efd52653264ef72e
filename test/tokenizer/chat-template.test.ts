import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import {
  type ChatMessage,
  type ChatOptions,
  ChatTemplates,
} from "../../packages/keyheads/src/tokenizer/chat-template.ts";
import { loadTokenizer } from "../../packages/keyheads/src/tokenizer/load.ts";

interface Golden {
  readonly templates: Readonly<
    Record<string, { readonly source: string; readonly tokens: Readonly<Record<string, string>> }>
  >;
  readonly cases: readonly (Pick<ChatOptions, "tools" | "addGenerationPrompt" | "variables"> & {
    readonly template: string;
    readonly messages: ChatMessage[];
    readonly text?: string;
    readonly refuses?: string;
  })[];
}
const golden: Golden = JSON.parse(
  readFileSync(new URL("chat-templates.json", import.meta.url), "utf8"),
);
const templatesOf = (name: string) => {
  const { source = "", tokens = {} } = golden.templates[name] ?? {};
  return new ChatTemplates("the folder", new Map([["default", source]]), tokens);
};

describe.each(Object.keys(golden.templates))("the template of %s", (name) => {
  it("writes what transformers writes, and refuses what it refuses", () => {
    const cases = golden.cases.filter(({ template }) => template === name);
    expect(cases.length).toBeGreaterThan(8);
    for (const { template: _, messages, text, refuses, ...options } of cases) {
      const render = () => templatesOf(name).render(messages, options);
      if (refuses === undefined) expect(render()).toBe(text);
      else expect(render).toThrow(expect.objectContaining({ code: "BAD_ARGUMENT" }));
    }
  });
});

const user: ChatMessage = { role: "user", content: "Hi" };

describe("mistakes", () => {
  const refuse = (messages: unknown, options: ChatOptions = {}) => {
    return () => templatesOf("gemma-2").render(messages as ChatMessage[], options);
  };

  it("repeats what the template says", () => {
    expect(refuse([{ role: "system", content: "x" }])).toThrow(/System role not supported/);
    expect(refuse([user, user])).toThrow(/must alternate/);
  });
  it("names the message that is none", () => {
    expect(refuse([user, { content: "x" }])).toThrow(/message 1 is \{"content":"x"\}/);
    expect(refuse("Hi")).toThrow(/expected a list/);
  });
  it("names the template that there is not", () => {
    expect(refuse([user], { template: "rag" })).toThrow(/no chat template "rag"; there is default/);
    expect(() => new ChatTemplates("./model").render([user], {})).toThrow(
      expect.objectContaining({
        code: "NO_CHAT_TEMPLATE",
        message: expect.stringMatching(/model/),
      }),
    );
  });
  it("says where a template is broken", () => {
    const broken = new ChatTemplates("./model", new Map([["default", "{% for x in %}"]]));
    expect(() => broken.render([user], {})).toThrow(
      expect.objectContaining({ code: "BAD_CHECKPOINT" }),
    );
  });
});

describe("the folder", () => {
  const root = mkdtempSync(join(tmpdir(), "keyheads-chat-"));
  afterAll(() => rmSync(root, { recursive: true }));
  const vocab = { "<s>": 0, "[": 1, "]": 2, H: 3, i: 4 };
  const tokenizer = {
    added_tokens: [],
    pre_tokenizer: { type: "Split", pattern: { Regex: "." }, behavior: "Isolated", invert: false },
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>" } }, { Sequence: { id: "A" } }],
      special_tokens: { "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] } },
    },
    model: { type: "WordLevel", vocab, unk_token: "<s>" },
  };
  let folders = 0;
  const load = async (files: Readonly<Record<string, unknown>>) => {
    const folder = join(root, String(folders++));
    mkdirSync(join(folder, "additional_chat_templates"), { recursive: true });
    for (const [name, content] of Object.entries({ "tokenizer.json": tokenizer, ...files })) {
      const text = typeof content === "string" ? content : JSON.stringify(content);
      writeFileSync(join(folder, name), text);
    }
    const loaded = await loadTokenizer(folder);
    if (!loaded) throw new Error("no tokenizer");
    return loaded;
  };
  const brackets = "{{ bos_token }}[{{ messages[0].content }}]";

  it("adds nothing to the ids of a chat", async () => {
    const config = { bos_token: "<s>", chat_template: brackets };
    const loaded = await load({ "tokenizer_config.json": config });
    expect(loaded.hasChatTemplate).toBe(true);
    expect(loaded.encodeChat([user])).toEqual([0, 1, 3, 4, 2]);
    expect(loaded.encode("Hi")).toEqual([0, 3, 4]);
  });
  it("takes one of several templates by name, and tool_use for tools", async () => {
    const chat_template = [
      { name: "default", template: "d" },
      { name: "tool_use", template: "t{{ tools | length }}" },
      { name: "rag", template: "r" },
    ];
    const loaded = await load({ "tokenizer_config.json": { chat_template } });
    expect(loaded.applyChatTemplate([user])).toBe("d");
    expect(loaded.applyChatTemplate([user], { tools: [{}, {}] })).toBe("t2");
    expect(loaded.applyChatTemplate([user], { template: "rag" })).toBe("r");
    expect(loaded.applyChatTemplate([user], { template: "{{ 1 + 1 }}" })).toBe("2");
    expect(() => loaded.applyChatTemplate([user], { template: "rga" })).toThrow(
      /default, tool_use/,
    );
  });
  it("prefers chat_template.jinja, and reads chat_template.json last", async () => {
    const json = { "chat_template.json": { chat_template: "json" } };
    const config = { "tokenizer_config.json": { chat_template: "config" } };
    const jinja = { "chat_template.jinja": "jinja", "additional_chat_templates/rag.jinja": "r" };
    const first = async (files: object) => (await load({ ...files })).applyChatTemplate([user]);
    expect(await first(json)).toBe("json");
    expect(await first({ ...json, ...config })).toBe("config");
    expect(await first({ ...json, ...config, ...jinja })).toBe("jinja");
    expect((await load(jinja)).applyChatTemplate([user], { template: "rag" })).toBe("r");
  });
  it("names the file and part of a template that is none", async () => {
    await expect(load({ "tokenizer_config.json": { chat_template: 3 } })).rejects.toThrow(
      /tokenizer_config\.json: chat_template: is 3, expected a string/,
    );
  });
});
