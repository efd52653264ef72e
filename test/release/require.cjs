// CommonJS: Node 20.19 and newer can require ES modules.
const { Model, KeyheadsError } = require("keyheads");
const { bundledModels, defaultModels } = require("keyheads/models");
const { loadedFrom } = require("keyheads/native");

const { folder } = bundledModels.find(({ name }) => name === defaultModels[0]);
Model.load(folder).then(async (model) => {
  const { logits } = await model.forward({ sequences: [[1, 2, 3]], readout: { logits: "all" } });
  model.dispose();
  const refused = await Model.load("/no/such/folder").catch((error) => error);
  console.log(
    JSON.stringify({
      finite: logits.every(Number.isFinite),
      refused: refused instanceof KeyheadsError,
      from: loadedFrom(),
    }),
  );
});
