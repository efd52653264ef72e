import type { AnyCommand } from "../command.ts";

/** Every command in the order of `keyheads --help`; a command's own file is loaded when it is run. */
export const summaries: Readonly<Record<string, string>> = {
  run: "the whole job: identify, validate, analyse, tune, evaluate, report",
  identify: "effect of every head and MLP on the answer",
  knockout: "accuracy as heads are removed, beside random heads and a control",
  trace: "the circuit behind the answer, by path patching back from the logits",
  circuit: "faithfulness, completeness and minimality of a set of heads and MLPs",
  transfer: "key heads across tasks: overlap, and knock-out of one on the other",
  attend: "attention of the last token to every role of the prompt",
  lens: "logit lens, MLP cosines and direct logit attribution by layer",
  contributions: "what heads, MLPs and neurons add directly to the answer's logit",
  ov: "what heads read and write by role: QK scores, copying, effect on the answer",
  controls: "negative controls: an untrained model, and X_c = X_r, must give no key heads",
  robustness: "key heads across effect, method, ablation, counterfactual and template",
  tune: "train only the chosen heads and MLPs",
  pretrain: "train a model from scratch as a config file says",
  "compare-tuning": "ways of tuning on one budget: what each is worth and what it costs",
  merge: "bake a delta of `tune` into a whole model folder",
  diff: "what differs between two model folders: tensors, heads, norms",
  eval: "accuracy and log-probability, with a paired test against a baseline",
  generate: "continue a text",
  items: "write an items file of the built-in tasks",
  "compare-methods": "approximations of effects against their exact answers",
  "ground-truth": "write hand-built models with known circuits, with items files",
  report: "render report.html of a run again",
  verify: "compare the engine with golden reference data",
  inspect: "shapes, parameters, memory plan and hook points of a model",
  doctor: "check this machine and say what to do",
  bench: "list or run the benchmarks of a checkout",
};

export async function loadCommand(name: string): Promise<AnyCommand> {
  const module = (await import(`./${name}.js`)) as { readonly command: AnyCommand };
  return module.command;
}
