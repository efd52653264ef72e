// A pretraining run of seconds.
import { textFile } from "../../packages/models/src/index.ts";

export const tinyConfig = {
  card: "arith",
  seed: 7,
  model: { layers: 1, heads: 2, headWidth: 8, mlp: 16, context: 64 },
  tokenizer: { vocabulary: 1400, documents: 200 },
  texts: [{ file: textFile("tom-sawyer.txt"), heldOutFrom: "all" }],
  mixture: { arithmetic: 0.6, numbers: 0.2, words: 0.2, text: 0 },
  operations: { add: 0.25, sub: 0.25, mul: 0.25, div: 0.25 },
  weights: { answer: 6, given: 0.3, plain: 1 },
  batch: { sequences: 4, length: 48, alone: 0.5 },
  optimizer: {
    lr: 0.003,
    warmup: 10,
    decayFrom: 0.5,
    betas: [0.9, 0.95],
    weightDecay: 0.1,
    clip: 1,
  },
  steps: 30,
  dtype: "f32",
  evaluateEvery: 30,
  checkpointEvery: 5,
};
