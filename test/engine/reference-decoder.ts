// The decoder once more, as plainly as it can be written: one sequence, one position and one head
// at a time, in float64. It defines what the engine computes for every specification.
import type { LayerSlot, ModelSlot, ModelSpec } from "@keyheads/native";
import { slotKey } from "../../packages/keyheads/src/load/slots.ts";

type Vector = readonly number[];
type Weights = ReadonlyMap<string, Float64Array>;

/** Logits of every position. */
export function referenceLogits(spec: ModelSpec, weights: Weights, tokens: Vector): Vector[] {
  const get = (slot: ModelSlot | LayerSlot, layer = -1, expert?: number) =>
    weights.get(slotKey({ slot, layer, ...(expert !== undefined && { expert }) }));
  const embed = rowsOf(get("embed"), spec.dModel);
  let stream = tokens.map((token, position) => {
    const x = (embed[token] as Vector).map((v) => v * spec.embedScale);
    if (spec.position === "rotary") return x;
    const table = rowsOf(get("posEmbed"), spec.dModel);
    return plus(x, table[position + spec.positionOffset]);
  });
  for (let layer = 0; layer < spec.layers; ++layer) {
    stream = block(spec, layer, stream, (slot, expert) => get(slot, layer, expert));
  }
  return stream.map((x) => {
    const n = norm(spec, x, get("finalNorm"), get("finalNormBias"));
    const unembed = get(spec.tied ? "embed" : "unembed");
    return linear(n, unembed, get("unembedBias")).map((v) => cap(v, spec.logitCap));
  });
}

type Get = (slot: LayerSlot, expert?: number) => Float64Array | undefined;

function block(spec: ModelSpec, layer: number, stream: Vector[], get: Get): Vector[] {
  const before = spec.normPlacement !== "post";
  const after = spec.normPlacement !== "pre";
  const attentionReads = before
    ? stream.map((x) => norm(spec, x, get("attnNorm"), get("attnNormBias")))
    : stream;
  const written = attention(spec, layer, attentionReads, get).map((x) =>
    after ? norm(spec, x, get("attnPostNorm")) : x,
  );
  return stream.map((x, position) => {
    const middle = plus(x, written[position]);
    const source = spec.block === "parallel" ? x : middle;
    const shared = spec.sharedNorm;
    const gain = get(shared ? "attnNorm" : "mlpNorm");
    const bias = get(shared ? "attnNormBias" : "mlpNormBias");
    const out = mlps(spec, before ? norm(spec, source, gain, bias) : source, get);
    return plus(middle, after ? norm(spec, out, get("mlpPostNorm")) : out);
  });
}

function attention(spec: ModelSpec, layer: number, inputs: Vector[], get: Get): Vector[] {
  const { heads, kvHeads, dHead } = spec;
  const queries = inputs.map((x, p) =>
    headsOf(spec, linear(x, get("wq"), get("bq")), get("qNorm"), p),
  );
  const keys = inputs.map((x, p) =>
    headsOf(spec, linear(x, get("wk"), get("bk")), get("kNorm"), p),
  );
  const values = inputs.map((x) => rowsOf(linear(x, get("wv"), get("bv")), dHead));
  const window = spec.windows[layer] || inputs.length;
  return inputs.map((_, p) => {
    const z = Array.from({ length: heads }, (_, h) => {
      const group = Math.floor(h / (heads / kvHeads));
      const seen = Array.from({ length: p + 1 }, (_, k) => k).filter((k) => p - k < window);
      const scores = seen.map((k) =>
        cap(
          (spec.attentionScales[layer] ?? 0) * dot(queries[p]?.[h], keys[k]?.[group]),
          spec.scoreCap,
        ),
      );
      const pattern = softmax(scores);
      return Array.from({ length: dHead }, (_, c) =>
        seen.reduce((sum, k, i) => sum + at(pattern, i) * at(values[k]?.[group], c), 0),
      );
    });
    return linear(z.flat(), get("wo"), get("bo"));
  });
}

/** Queries or keys of one position: normed where the model does that, and rotated. */
function headsOf(
  spec: ModelSpec,
  x: Vector,
  gain: Float64Array | undefined,
  position: number,
): Vector[] {
  const whole = spec.qkNorm === "width" ? norm(spec, x, gain) : x;
  return rowsOf(whole, spec.dHead).map((head, h) => {
    const own = { none: undefined, width: undefined, head: 0, heads: h * spec.dHead }[spec.qkNorm];
    const normed =
      own === undefined ? head : norm(spec, head, gain?.subarray(own, own + spec.dHead));
    return rotate(spec, normed, position);
  });
}

function rotate(spec: ModelSpec, x: Vector, position: number): Vector {
  const out = [...x];
  const half = spec.inverseFrequencies.length;
  spec.inverseFrequencies.forEach((frequency, i) => {
    const [a, b] = spec.rotaryPairs === "halves" ? [i, i + half] : [2 * i, 2 * i + 1];
    const cosine = spec.rotaryScale * Math.cos(position * frequency);
    const sine = spec.rotaryScale * Math.sin(position * frequency);
    out[a] = at(x, a) * cosine - at(x, b) * sine;
    out[b] = at(x, b) * cosine + at(x, a) * sine;
  });
  return out;
}

function mlps(spec: ModelSpec, x: Vector, get: Get): Vector {
  if (spec.experts === 0) return mlp(spec, x, get);
  const chances = softmax(linear(x, get("router")));
  const order = chances.map((_, e) => e).sort((a, b) => at(chances, b) - at(chances, a));
  const chosen = order.slice(0, spec.expertsPerToken);
  const total = chosen.reduce((sum, e) => sum + at(chances, e), 0);
  return chosen
    .map((e) => mlp(spec, x, (slot) => get(slot, e)).map((v) => (v * at(chances, e)) / total))
    .reduce((a, b) => plus(a, b));
}

function mlp(spec: ModelSpec, x: Vector, get: Get): Vector {
  const up = linear(x, get("wUp"), get("bUp"));
  const pre = spec.gated ? linear(x, get("wGate"), get("bGate")) : up;
  const post = pre.map((v, i) => activation(spec, v) * (spec.gated ? at(up, i) : 1));
  return linear(post, get("wDown"), get("bDown"));
}

function activation(spec: ModelSpec, x: number): number {
  switch (spec.activation) {
    case "relu":
      return Math.max(x, 0);
    case "silu":
      return x / (1 + Math.exp(-x));
    case "gelu_new":
      return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
    case "gelu":
      return x * below(x);
  }
}

/** P(X < x) of a standard normal variable, by its Taylor series; enough terms for |x| < 8. */
function below(x: number): number {
  let term = x / Math.sqrt(2 * Math.PI);
  let sum = 0.5;
  for (let n = 0; n < 200; ++n) {
    sum += term / (2 * n + 1);
    term *= -(x * x) / (2 * (n + 1));
  }
  return sum;
}

function norm(spec: ModelSpec, x: Vector, gain?: Float64Array, bias?: Float64Array): Vector {
  const mean = spec.norm === "layer" ? x.reduce((a, b) => a + b) / x.length : 0;
  const square = x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length;
  const scale = Math.sqrt(square + spec.normEps);
  const one = spec.normPlusOne ? 1 : 0;
  return x.map((v, i) => ((v - mean) / scale) * (one + at(gain, i)) + (bias?.[i] ?? 0));
}

const cap = (x: number, limit: number) => (limit === 0 ? x : limit * Math.tanh(x / limit));

function softmax(x: Vector): Vector {
  const powers = x.map((v) => Math.exp(v - Math.max(...x)));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((v) => v / sum);
}

/** W x + bias, W stored [out, in]. */
function linear(x: Vector, weight?: Float64Array, bias?: Float64Array): Vector {
  return rowsOf(weight, x.length).map((row, i) => dot(row, x) + (bias?.[i] ?? 0));
}

function rowsOf(x: Vector | Float64Array | undefined, width: number): Vector[] {
  if (!x) throw new Error("the reference decoder misses a weight");
  return Array.from({ length: x.length / width }, (_, r) => [
    ...x.slice(r * width, (r + 1) * width),
  ]);
}

const dot = (a: Vector | undefined, b: Vector | undefined) =>
  (a as Vector).reduce((sum, v, i) => sum + v * at(b, i), 0);
const plus = (a: Vector, b: Vector | undefined) => a.map((v, i) => v + at(b, i));
const at = (x: Vector | Float64Array | undefined, i: number) => x?.[i] as number;
