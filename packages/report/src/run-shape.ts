/** The shape of RunResult (results.ts) as far as the report reads it. */
import {
  arrayOf,
  type Check,
  flag,
  numeric,
  object,
  oneOf,
  optional,
  recordOf,
  text,
} from "./shape.ts";

const numbers = arrayOf(numeric);
const matrix = arrayOf(numbers);
const texts = arrayOf(text);
const items = object({
  used: numeric,
  dropped: arrayOf(object({ line: numeric, why: text })),
});
const ablation = oneOf("mean", "zero", "resample", "counterfactual");
const positions = oneOf("end", "all");

const identify = object({
  items,
  method: text,
  positions,
  effect: text,
  reference: numeric,
  counterfactual: numeric,
  totalEffect: numeric,
  heads: matrix,
  mlps: numbers,
  headCI: optional(arrayOf(arrayOf(optional(numbers)))),
  mlpCI: optional(arrayOf(optional(numbers))),
  headShares: optional(matrix),
  mlpShares: optional(numbers),
  keyHeads: texts,
  keyMlps: optional(numbers),
  validity: optional(object({})),
  relativeLogit: optional(object({ heads: matrix, mlps: numbers })),
  headP: optional(matrix),
  mlpP: optional(numbers),
  receivers: optional(texts),
});

const knockout = object({
  items,
  ablation,
  positions,
  meanOver: text,
  curve: arrayOf(
    object({ k: numeric, added: optional(text), accuracy: numeric, control: optional(numeric) }),
  ),
  random: arrayOf(
    object({
      k: numeric,
      mean: numeric,
      low: numeric,
      high: numeric,
      draws: numeric,
      exhaustive: flag,
    }),
  ),
});

const subsets = object({
  ablation,
  baseline: object({ accuracy: numeric }),
  sets: arrayOf(object({ heads: texts, accuracy: numeric, specificDrop: optional(numeric) })),
});

const attention = object({
  items,
  heads: arrayOf(
    object({
      head: text,
      type: text,
      roles: recordOf(object({ mean: numeric, low: numeric, high: numeric })),
      positional: optional(recordOf(numeric)),
      valueWeighted: optional(recordOf(numeric)),
    }),
  ),
});

const cosines = object({
  A: optional(numeric),
  B: optional(numeric),
  C: numeric,
  baseline: numeric,
});
const lens = object({
  items,
  layers: arrayOf(
    object({
      layer: numeric,
      answerRank: numeric,
      answerProb: numeric,
      topTokens: optional(arrayOf(object({ token: text, share: numeric }))),
      mlpIn: cosines,
      mlpOut: cosines,
      mlpDelta: cosines,
      attnLogit: numeric,
      mlpLogit: numeric,
    }),
  ),
  mlpPhases: optional(object({})),
});

const estimate = object({ mean: numeric, low: numeric, high: numeric });
const circuit = object({
  components: texts,
  of: numeric,
  metric: text,
  mlpsOutside: oneOf("kept", "removed"),
  full: numeric,
  empty: numeric,
  faithfulness: estimate,
  completeness: optional(object({ share: numeric, worst: object({ removed: texts }) })),
  minimality: optional(
    object({
      components: arrayOf(
        object({
          component: text,
          effect: numeric,
          share: numeric,
          without: texts,
          atLeast: optional(numeric),
        }),
      ),
      random: object({ high: numeric }),
    }),
  ),
  sizes: optional(
    arrayOf(
      object({
        ranking: oneOf("signed", "absolute"),
        points: arrayOf(object({ share: numeric, k: numeric, faithfulness: numeric })),
      }),
    ),
  ),
  cpr: optional(numeric),
  cmd: optional(numeric),
});

const methods = object({
  items,
  estimands: arrayOf(
    object({
      estimand: text,
      of: numeric,
      seconds: numeric,
      methods: arrayOf(
        object({
          method: text,
          seconds: numeric,
          speedup: numeric,
          rank: estimate,
          overlap: object({
            mean: numeric,
            low: numeric,
            high: numeric,
            k: numeric,
            chance: numeric,
          }),
          sign: estimate,
          error: numeric,
          circuit: optional(object({ cpr: numeric, cmd: numeric })),
        }),
      ),
    }),
  ),
  skipped: arrayOf(object({ estimand: text, why: text })),
});

const nothing = { keyHeads: texts, keyMlps: numbers, pass: flag };
const controls = object({
  self: object({ ...nothing, largest: numeric, at: text }),
  untrained: object({ ...nothing, alpha: numeric, smallestP: numeric, accuracy: numeric }),
});

const experiment = object({
  name: text,
  title: text,
  description: text,
  control: optional(text),
  direct: identify,
  directOnAll: optional(identify),
  totalEnd: optional(identify),
  totalAll: optional(identify),
  randomCounterfactual: optional(identify),
  knockout: optional(knockout),
  subsets: optional(subsets),
  attention: optional(attention),
  lens: optional(lens),
  circuit: optional(circuit),
  paths: optional(arrayOf(identify)),
  methods: optional(methods),
  controls: optional(controls),
  notes: optional(texts),
  graph: optional(
    object({
      method: text,
      effect: text,
      edgeCount: numeric,
      faithfulness: optional(estimate),
      edges: arrayOf(object({ from: text, to: text, effect: numeric, ci: optional(numbers) })),
    }),
  ),
});

const transfer = object({
  sets: arrayOf(object({ name: text, keyHeads: texts, baseline: numeric })),
  split: oneOf("labels", "clusters", "none"),
  jaccard: matrix,
  chance: matrix,
  rank: matrix,
  accuracy: matrix,
  random: arrayOf(arrayOf(optional(object({ low: numeric, high: numeric })))),
});

const accuracies = arrayOf(
  object({ name: text, title: text, n: numeric, accuracy: numeric, ci: optional(numbers) }),
);

const tuning = object({
  target: text,
  matchedGain: numeric,
  before: accuracies,
  methods: arrayOf(
    object({
      name: text,
      title: text,
      kind: oneOf("key", "random", "lowest", "mlp", "full"),
      heads: texts,
      mlps: numbers,
      replay: flag,
      seed: numeric,
      lr: numeric,
      trainedParameters: numeric,
      updates: numeric,
      gain: numeric,
      collateral: numeric,
      after: accuracies,
    }),
  ),
  verdict: object({ supported: flag, text }),
  isolation: object({
    checked: numeric,
    changedTensors: texts,
    unselectedChanged: numeric,
    unselectedHash: optional(object({ before: text, after: text })),
    tensors: optional(
      arrayOf(
        object({
          tensor: text,
          unselected: numeric,
          before: optional(text),
          after: optional(text),
          trained: texts,
        }),
      ),
    ),
  }),
});

const example = object({
  title: text,
  tokens: arrayOf(object({ text, role: optional(text) })),
  counterfactual: optional(texts),
  answer: text,
  counterfactualAnswer: optional(text),
  predictions: arrayOf(
    object({ state: text, top: arrayOf(object({ token: text, prob: numeric })) }),
  ),
  attention: optional(arrayOf(object({ head: text, weights: numbers }))),
});

export const runShape: Check = object({
  keyheads: text,
  created: text,
  model: object({
    name: text,
    architecture: text,
    layers: numeric,
    heads: numeric,
    kvHeads: numeric,
    dModel: numeric,
    parameters: numeric,
    origin: optional(text),
    licence: optional(text),
  }),
  device: text,
  tf32: optional(flag),
  dtype: text,
  seed: numeric,
  task: object({ title: text, summary: text, promptForm: text, notes: texts }),
  experiments: arrayOf(experiment),
  evaluation: optional(object({ before: accuracies, after: accuracies, description: text })),
  tuning: optional(tuning),
  transfer: optional(transfer),
  example: optional(example),
  claims: arrayOf(object({ claim: text, source: text, verdict: text, evidence: text })),
  seconds: numeric,
  timings: optional(recordOf(numeric)),
  peakBytes: numeric,
});
