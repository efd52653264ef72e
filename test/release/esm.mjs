// An ES module of a user, as short as it can be.
import { hooks, Model } from "keyheads";
import { bundledModels, defaultModels } from "keyheads/models";
import { loadedFrom } from "keyheads/native";

const { folder } = bundledModels.find(({ name }) => name === defaultModels[0]);
const model = await Model.load(folder);
const { captures, logits } = await model.forward({
  sequences: [[1, 2, 3]],
  readout: { logits: "all" },
  captures: [{ hook: hooks.z(0), head: 0, positions: "end" }],
});
model.dispose();
const finite = logits.every(Number.isFinite);
console.log(JSON.stringify({ finite, captures: captures.length, from: loadedFrom() }));
