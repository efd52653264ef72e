// README.md of a pretrained model, from its config, its metrics and its evaluation.
import type { PretrainConfig } from "../../keyheads/src/pretraining/config.ts";
import type { CardRow, PretrainedEvaluation } from "../../keyheads/src/pretraining/evaluate.ts";
import type { PretrainRow } from "../../keyheads/src/pretraining/pretrain.ts";

type Measured = PretrainedEvaluation & { readonly parameters: number };

export function cardText(
  config: PretrainConfig,
  metrics: readonly PretrainRow[],
  { trained, untrained }: { readonly trained: Measured; readonly untrained: Measured },
): string {
  const { layers, heads, headWidth, mlp } = config.model;
  const tokens = metrics.reduce((sum, row) => sum + row.tokens, 0);
  const hours = metrics.reduce((sum, row) => sum + row.seconds, 0) / 3600;
  const { sequences, length } = config.batch;
  return `# ${config.card}: a small model that keyheads trained from scratch

LLaMA architecture (Hugging Face layout, bfloat16): ${layers} layers x ${heads} heads of ${headWidth}, MLP ${mlp},
tied embeddings, ${trained.parameters.toLocaleString("en")} parameters, vocabulary ${config.tokenizer.vocabulary} in which every number from 0 to 999
is one token. Trained by keyheads on ${(tokens / 1e6).toFixed(1)} million tokens: ${config.steps} updates of ${sequences} x ${length} in ${config.dtype} on one
busy CPU core, ${hours.toFixed(1)} hours. How, and what was held out: docs/pretraining.md. Again:

    keyheads pretrain packages/models/pretraining/${config.card}.json --out ./${config.card}
    npx tsx packages/models/pretraining/evaluate.ts packages/models/pretraining/${config.card}.json ./${config.card} ./${config.card}.pretraining

| ingredient | share of the tokens | licence |
| --- | --- | --- |
| generated arithmetic | ${percent(config.mixture.arithmetic)} | MIT, by this project |
| generated numbers without calculation | ${percent(config.mixture.numbers)} | MIT, by this project |
| generated word tasks | ${percent(config.mixture.words)} | MIT, by this project |
| English books (${config.texts.map(({ file }) => bookName(file)).join(", ")}; the last one held out) | ${percent(config.mixture.text)} | public domain in the USA; Project Gutenberg's licence is in each file |

Prompts end before the answer; in \`12 + 7 = \` the separating space is a token of its own. Right means that
the answer is the most likely next token. Intervals: 95 %, bootstrap over fact families (words: over
the words that decide). *Trained*: facts and wordings of the training; *held-out*: fact families
(both orders, inverse operations) and products that it left out; *withheld*: the wording "If you add 3 and 4, you
get" of every operation. The untrained model is the negative control.

| task | style | items | n | % right | untrained |
| --- | --- | --- | --- | --- | --- |
${trained.rows.map((row, i) => line(row, untrained.rows[i])).join("\n")}

English, ${trained.text.tokens.toLocaleString("en")} held-out tokens in pieces of ${trained.text.chunk}: ${trained.text.loss.toFixed(2)} nats a token (${trained.text.ci.map((x) => x.toFixed(2)).join(" to ")});
untrained ${untrained.text.loss.toFixed(2)}. \`evaluation.json\` has the figures.

![loss and probes over the training](training.svg)
`;
}

function line({ task, style, items, n, accuracy, ci }: CardRow, untrained: CardRow | undefined) {
  const interval = `${ci.map((x) => (100 * x).toFixed(1)).join(" to ")}`;
  const before = untrained === undefined ? "" : (100 * untrained.accuracy).toFixed(1);
  return `| ${task} | ${style} | ${items} | ${n} | ${(100 * accuracy).toFixed(1)} (${interval}) | ${before} |`;
}

const percent = (share: number) => `${Math.round(100 * share)} %`;

function bookName(file: string): string {
  const name = file.replace(/^.*pg-|\.txt$/g, "").replaceAll("_", " ");
  return name.replace(/\b\w/g, (letter) => letter.toUpperCase());
}
