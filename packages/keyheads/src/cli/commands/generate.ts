/** Continues a text, printing tokens as they come. */
import type { ModelSpec } from "@keyheads/native";
import type { Tokenizer } from "../../tokenizer/types.ts";
import { defineCommand, option } from "../command.ts";
import { modelOptions, seed } from "../options.ts";
import { forwardStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { stopIds } from "../stop-ids.ts";
import { flag, integer, number, text } from "../values.ts";

const defaultTokens = 64;

export const command = defineCommand({
  name: "generate",
  summary: "continue a text",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: [
    'generate stories260K --prompt "Once upon a time" --max-tokens 60',
    'generate ./my-chat-model --chat --prompt "What is 2 + 2?"',
  ],
  options: {
    ...modelOptions,
    prompt: option("--prompt <text>", "the text to continue", text()),
    chat: option(
      "--chat",
      "the text is a user's message, written by the model's chat template",
      flag().default(false),
    ),
    maxTokens: option(
      "--max-tokens <n>",
      `new tokens at most (default: as many as fit, up to ${defaultTokens})`,
      integer(1).optional(),
    ),
    temperature: option(
      "--temperature <t>",
      "0 (default) takes the most likely token",
      number({ min: 0 }).default(0),
    ),
    seed,
  },
  run(values, cli) {
    return withModel(values, cli, {
      async plan({ spec, tokenizer }) {
        const ids = tokenizer ? encodePrompt(tokenizer, values) : [];
        const tokens = values.maxTokens ?? Math.min(defaultTokens, roomAfter(ids, spec));
        return [
          forwardStep("prompt and new tokens", spec, [ids.length + tokens], { rows: tokens }),
        ];
      },
      async compute(model) {
        const tokenizer = model.needTokenizer();
        const promptIds = encodePrompt(tokenizer, values);
        // An embedding may have more rows than there are tokens.
        const stream = tokenizer.textStream(promptIds, { skipMissing: true });
        const ids: number[] = [];
        let text = "";
        const show = (piece: string) => {
          text += piece;
          cli.write(piece);
        };
        if (!values.chat) cli.write(values.prompt);
        await model.generate(promptIds, {
          maxTokens: values.maxTokens ?? Math.min(defaultTokens, roomAfter(promptIds, model.spec)),
          temperature: values.temperature,
          seed: values.seed,
          stopIds: await stopIds(model),
          signal: cli.signal,
          onToken(id) {
            ids.push(id);
            show(stream.push(id));
          },
        });
        const rest = stream.end();
        return { data: { text: text + rest, ids, promptIds }, text: () => `${rest}\n` };
      },
    });
  },
});

function encodePrompt(
  tokenizer: Tokenizer,
  { prompt, chat }: { readonly prompt: string; readonly chat: boolean },
): number[] {
  if (!chat) return tokenizer.encode(prompt);
  return tokenizer.encodeChat([{ role: "user", content: prompt }], { addGenerationPrompt: true });
}

/** The last new token is never read, so it needs no place in the context. */
function roomAfter(ids: readonly number[], { context }: ModelSpec): number {
  return Math.max(1, context - ids.length + 1);
}
