// Two versions of the package in one process: each loads its own addon, and they do not meet.
import * as one from "keyheads";
import { bundledModels, defaultModels } from "keyheads/models";
import * as native from "keyheads/native";
import * as other from "keyheads-next";
import * as otherNative from "keyheads-next/native";

const { folder } = bundledModels.find(({ name }) => name === defaultModels[0]);
const run = async ({ Model }) => {
  const model = await Model.load(folder);
  const { logits } = await model.forward({ sequences: [[1, 2, 3, 4]], readout: { logits: "all" } });
  model.dispose();
  return logits;
};
const [left, right] = await Promise.all([run(one), run(other)]);
console.log(
  JSON.stringify({
    versions: [native.version, otherNative.version],
    sources: [native.loadedFrom().source, otherNative.loadedFrom().source],
    separate: native.loadBinding() !== otherNative.loadBinding(),
    equal: left.length > 0 && left.every((x, i) => x === right[i]),
  }),
);
