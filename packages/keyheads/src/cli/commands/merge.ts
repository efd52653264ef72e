/** Bakes a delta into a whole Hugging Face folder. */
import { KeyheadsError } from "../../errors.ts";
import { resolveModel } from "../../load/resolve-model.ts";
import { Model } from "../../model.ts";
import { checkSaved } from "../../save/check-saved.ts";
import { mergeDelta } from "../../save/merge.ts";
import { saveModel } from "../../save/save-model.ts";
import { openFolder } from "../../save/stored.ts";
import { countParameters } from "../../tuning/slots.ts";
import { defineCommand, option } from "../command.ts";
import { force, optional } from "../options.ts";
import { refuseExisting } from "../output-file.ts";
import { count, fields } from "../table.ts";
import { text } from "../values.ts";

export const command = defineCommand({
  name: "merge",
  summary: "bake a delta of `tune` into a whole model folder",
  argument: { usage: "<model>", help: "the model that the delta was made from" },
  examples: ["merge ./my-model --delta tuned.safetensors --out ./tuned"],
  options: {
    ...optional,
    delta: option("--delta <file>", "the delta", text()),
    out: option("--out <folder>", "where the merged model goes", text()),
    force,
  },
  async run({ target, delta, out, force }, cli) {
    refuseExisting(out, force);
    const folder = await resolveModel(target);
    const { files } = await openFolder(folder);
    // Every dtype of a file is exact in this one.
    const dtype = files.slots.some((slot) => slot.dtype === "F64") ? "f64" : "f32";
    using model = await Model.load(folder, { dtype, delta, signal: cli.signal });
    const slices = await mergeDelta(model);
    const saved = await saveModel(model, out, { slices, force, signal: cli.signal });
    const { vocab } = model.spec;
    const probes = [
      Int32Array.from({ length: Math.min(8, model.spec.context) }, (_, i) => i % vocab),
    ];
    const { maxAbs } = await checkSaved(model, saved.folder, { slices, probes });
    const parameters = countParameters([...model.delta.slices, ...slices]);
    if (parameters === 0) throw new KeyheadsError("INTERNAL", "the delta changed nothing");
    const data = { model: model.name, delta, out, tensors: saved.tensors, parameters, maxAbs };
    return {
      data,
      text: () =>
        fields([
          ["merged", `${count(parameters)} numbers of ${saved.tensors.length} tensors`],
          ["saved in", out],
        ]),
    };
  },
});
