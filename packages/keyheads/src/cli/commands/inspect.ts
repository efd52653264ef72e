/** Shapes, parameters by part, memory plan and hook points of a model, without loading its weights. */
import type { ModelDtype } from "@keyheads/native";
import { listHooks } from "../../hooks.ts";
import { resolveModel } from "../../load/resolve-model.ts";
import { type Blueprint, openBlueprint } from "../blueprint.ts";
import { defineCommand } from "../command.ts";
import { optional } from "../options.ts";
import { countByPart } from "../parameters.ts";
import { forwardStep, toPlan } from "../plan.ts";
import { byteSize, count, fields, percent, table } from "../table.ts";

const planItems = 512;

export const command = defineCommand({
  name: "inspect",
  summary: "shapes, parameters, memory plan and hook points of a model",
  argument: { usage: "<model>", help: "Hugging Face folder or bundled model" },
  examples: ["inspect mathgpt_add3_h4_l4", "inspect ./my-model --json"],
  options: optional,
  async run({ target }) {
    const blueprint = await openBlueprint(await resolveModel(target));
    const data = await describe(blueprint);
    return { data, text: () => show(data) };
  },
});

async function describe(blueprint: Blueprint) {
  const { spec, files, tokenizer } = blueprint;
  const { inverseFrequencies, windows, attentionScales, ...rest } = spec;
  const perLayer = { attentionScales: [...attentionScales], windows: [...windows] };
  const shape = { ...rest, ...perLayer, rotated: 2 * inverseFrequencies.length };
  const lengths = new Array<number>(planItems).fill(Math.min(32, spec.context));
  const memory = async (dtype: ModelDtype) => {
    const forward = forwardStep("forward", spec, lengths);
    const { weightBytes, peakBytes } = await toPlan(blueprint, [forward], {
      dtype,
      threads: undefined,
    });
    return { weightBytes, forwardBytes: peakBytes - weightBytes };
  };
  const stored = [...files.tensors.values()];
  return {
    model: blueprint.name,
    folder: blueprint.folder,
    architecture: blueprint.architecture,
    shape,
    parameters: countByPart(files, spec),
    files: files.files.length,
    storedTypes: [...new Set(stored.map(({ dtype }) => dtype))],
    tokenizer: tokenizer ? { tokens: tokenizer.vocabSize } : null,
    memory: {
      items: planItems,
      tokens: lengths[0],
      f32: await memory("f32"),
      bf16: await memory("bf16"),
      f64: await memory("f64"),
    },
    hooks: listHooks(spec),
  };
}

type Shape = Awaited<ReturnType<typeof describe>>["shape"];

function describeBlock(shape: Shape): string {
  const norms = { pre: "before", post: "after", both: "before and after" }[shape.normPlacement];
  const experts = `, ${shape.expertsPerToken} of ${shape.experts} experts a token`;
  return `${shape.block}, norms ${norms} attention and MLP${shape.experts > 0 ? experts : ""}`;
}

function describeAttention(shape: Shape): string {
  const sizes = [...new Set(shape.windows)].filter((size) => size > 0);
  const windowed = shape.windows.filter((size) => size > 0).length;
  const parts = [
    shape.position === "rotary" ? `${shape.rotated} of ${shape.dHead} dimensions rotated` : "",
    shape.qkNorm === "none" ? "" : "q/k norm",
    windowed > 0 ? `window of ${sizes.join(", ")} keys in ${windowed} layers` : "",
    shape.scoreCap > 0 ? `scores capped at ${shape.scoreCap}` : "",
  ].filter((part) => part !== "");
  return parts.length > 0 ? parts.join(", ") : "all keys before";
}

function show(data: Awaited<ReturnType<typeof describe>>): string {
  const { shape, parameters, memory } = data;
  const parts = ["embedding", "unembedding", "attention", "mlps", "norms"] as const;
  const unique = [
    ...new Set(data.hooks.map((name) => name.replace(/^blocks\.\d+\./, "blocks.{i}."))),
  ];
  return [
    fields([
      ["model", `${data.model} (${data.architecture})`],
      ["folder", data.folder],
      ["layers", `${shape.layers}`],
      ["heads", `${shape.heads} a layer, ${shape.kvHeads} key/value, width ${shape.dHead}`],
      ["width", `${shape.dModel}, MLP ${shape.dMlp}${shape.gated ? " (gated)" : ""}`],
      ["vocabulary", `${count(shape.vocab)}${shape.tied ? ", output projection tied" : ""}`],
      ["context", `${count(shape.context)} tokens, ${shape.position} positions`],
      ["block", describeBlock(shape)],
      ["attention", describeAttention(shape)],
      ["norm", `${shape.norm}, epsilon ${shape.normEps}; activation ${shape.activation}`],
      ["weights", `${data.files} file(s), stored as ${data.storedTypes.join(", ")}`],
      [
        "tokenizer",
        data.tokenizer ? `${count(data.tokenizer.tokens)} tokens` : "none (items as ids)",
      ],
    ]),
    "\n",
    table(
      ["parameters", "number", "share"],
      [
        ...parts.map((part) => [
          part,
          count(parameters[part]),
          percent(parameters[part] / parameters.total),
        ]),
        ["total", count(parameters.total), ""],
        ["one head", count(parameters.perHead), percent(parameters.perHead / parameters.total)],
        ["one MLP", count(parameters.perMlp), percent(parameters.perMlp / parameters.total)],
      ],
    ),
    "\n",
    table(
      ["memory", "weights", `run of ${memory.items} x ${memory.tokens} tokens`],
      (["f32", "bf16", "f64"] as const).map((dtype) => [
        dtype,
        byteSize(memory[dtype].weightBytes),
        byteSize(memory[dtype].forwardBytes),
      ]),
    ),
    `\n${unique.length} hook points (docs/hooks.md):\n`,
    ...unique.map((name) => `  ${name}\n`),
  ].join("");
}
