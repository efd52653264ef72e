/** Continues a text, printing tokens as they come. */
import type { ModelSpec } from "@keyheads/native";
import { defineCommand, option } from "../command.ts";
import { modelOptions, seed } from "../options.ts";
import { forwardStep } from "../plan.ts";
import { withModel } from "../session.ts";
import { stopIds } from "../stop-ids.ts";
import { integer, number, text } from "../values.ts";

const defaultTokens = 64;

export const command = defineCommand({
  name: "generate",
  summary: "continue a text",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: ['generate stories260K --prompt "Once upon a time" --max-tokens 60'],
  options: {
    ...modelOptions,
    prompt: option("--prompt <text>", "the text to continue", text()),
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
        const ids = tokenizer?.encode(values.prompt) ?? [];
        const tokens = values.maxTokens ?? Math.min(defaultTokens, roomAfter(ids, spec));
        return [
          forwardStep("prompt and new tokens", spec, [ids.length + tokens], { rows: tokens }),
        ];
      },
      async compute(model) {
        const tokenizer = model.needTokenizer();
        const promptIds = tokenizer.encode(values.prompt);
        const start = tokenizer.decode(promptIds).length;
        const ids: number[] = [];
        const continued = () => tokenizer.decode([...promptIds, ...ids]).slice(start);
        let written = 0;
        cli.write(values.prompt);
        await model.generate(promptIds, {
          maxTokens: values.maxTokens ?? Math.min(defaultTokens, roomAfter(promptIds, model.spec)),
          temperature: values.temperature,
          seed: values.seed,
          stopIds: stopIds(model.config),
          signal: cli.signal,
          onToken(id) {
            ids.push(id);
            const text = continued();
            // A character may take several tokens: print only what will not change any more.
            if (text.endsWith("\ufffd")) return;
            cli.write(text.slice(written));
            written = text.length;
          },
        });
        const text = continued();
        return { data: { text, ids, promptIds }, text: () => `${text.slice(written)}\n` };
      },
    });
  },
});

/** The last new token is never read, so it needs no place in the context. */
function roomAfter(ids: readonly number[], { context }: ModelSpec): number {
  return Math.max(1, context - ids.length + 1);
}
