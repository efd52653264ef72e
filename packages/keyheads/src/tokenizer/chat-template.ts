// Chat templates: Jinja programs that write a list of messages as one text, as
// transformers' apply_chat_template does.
import { Template } from "@huggingface/jinja";
import { KeyheadsError } from "../errors.ts";

/** One message; `content` is usually text, other fields are the template's own. */
export interface ChatMessage {
  readonly role: string;
  readonly content?: unknown;
  readonly [field: string]: unknown;
}

export interface ChatOptions {
  /** End with what begins the model's answer (default false). */
  readonly addGenerationPrompt?: boolean;
  /** Descriptions of functions (JSON schemas), for templates that offer tools. */
  readonly tools?: readonly unknown[];
  readonly documents?: readonly unknown[];
  /** Which of several templates, or a template. Default: "tool_use" with tools, else "default". */
  readonly template?: string;
  /** Further variables of the template, e.g. `{ enable_thinking: false }`. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

export class ChatTemplates {
  readonly #where: string;
  readonly #sources: ReadonlyMap<string, string>;
  readonly #variables: Readonly<Record<string, unknown>>;
  readonly #compiled = new Map<string, Template>();

  /** `variables` are what every template sees, bos_token and the like; `where` is for messages. */
  constructor(
    where: string,
    sources: ReadonlyMap<string, string> = new Map(),
    variables: Readonly<Record<string, unknown>> = {},
  ) {
    this.#where = where;
    this.#sources = sources;
    this.#variables = variables;
  }

  get names(): string[] {
    return [...this.#sources.keys()];
  }

  render(messages: readonly ChatMessage[], options: ChatOptions): string {
    checkMessages(messages);
    const { tools = null, documents = null, addGenerationPrompt = false, variables } = options;
    const source = this.#source(options);
    const template = this.#compile(source);
    try {
      return template.render({
        ...this.#variables,
        ...variables,
        messages,
        tools,
        documents,
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (cause) {
      throw new KeyheadsError(
        "BAD_ARGUMENT",
        `the chat template of ${this.#where} does not take these messages: ${(cause as Error).message}`,
        { cause },
      );
    }
  }

  #source({ template, tools }: ChatOptions): string {
    if (template !== undefined) return this.#sources.get(template) ?? asTemplate(template, this);
    const source = (tools && this.#sources.get("tool_use")) ?? this.#sources.get("default");
    if (source !== undefined) return source;
    const remedy =
      this.#sources.size > 0
        ? `it has ${this.names.join(", ")}: name one as the option template`
        : "copy chat_template.jinja, or the chat_template of tokenizer_config.json, from where the model was published, or give the option template";
    throw new KeyheadsError(
      "NO_CHAT_TEMPLATE",
      `${this.#where} has no ${this.#sources.size > 0 ? "default " : ""}chat template; ${remedy}`,
    );
  }

  #compile(source: string): Template {
    const known = this.#compiled.get(source);
    if (known) return known;
    try {
      const template = new Template(source);
      this.#compiled.set(source, template);
      return template;
    } catch (cause) {
      throw new KeyheadsError(
        "BAD_CHECKPOINT",
        `the chat template of ${this.#where} cannot be read: ${(cause as Error).message}`,
        { cause },
      );
    }
  }
}

/** A name that no template has is a mistake; a text with Jinja marks is a template. */
function asTemplate(text: string, { names }: ChatTemplates): string {
  if (text.includes("{{") || text.includes("{%")) return text;
  throw new KeyheadsError(
    "BAD_ARGUMENT",
    `there is no chat template "${text}"; there ${names.length === 0 ? "are none" : `is ${names.join(", ")}`}`,
  );
}

function checkMessages(messages: readonly ChatMessage[]): void {
  if (!Array.isArray(messages)) {
    throw new KeyheadsError("BAD_ARGUMENT", "messages: expected a list of { role, content }");
  }
  for (const [i, message] of messages.entries()) {
    if (typeof message?.role === "string") continue;
    throw new KeyheadsError(
      "BAD_ARGUMENT",
      `message ${i} is ${JSON.stringify(message)}, expected an object with a role and content`,
    );
  }
}
