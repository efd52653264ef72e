// Every approximation against the exact answer that it stands for, on the same items: AtP, AtP* and RelP
// against activation patching, the direct-path gradient against path patching, EAP and EAP-IG against
// exact edges; and how faithful circuits of the first senders are.
import { performance } from "node:perf_hooks";
import { KeyheadsError } from "../errors.ts";
import type { CallOptions, Model } from "../model.ts";
import type { CompareMethodsResult, EstimandJudgement, MethodJudgement } from "../results.ts";
import { type Clusters, numberClusters } from "../statistics/bootstrap.ts";
import type { Item, ItemSet } from "../tasks/items.ts";
import { circuit } from "../validation/circuit.ts";
import { edgeCircuit } from "../validation/edge-circuit.ts";
import { edgeScores } from "../validation/graph.ts";
import { agreement } from "./agreement.ts";
import type { Approximated } from "./approximate/approximate.ts";
import { edgeNames } from "./approximate/describe.ts";
import { checkMethod } from "./check-method.ts";
import { allHeads, allMlps, type Component } from "./component.ts";
import { exactEdges } from "./edges/exact.ts";
import { edgeCount, edgeGraph } from "./edges/graph.ts";
import { chooseEffect, type Effect } from "./effects.ts";
import { effectsBy } from "./effects-by.ts";
import { guardOf } from "./measure.ts";
import type { IdentifyOptions } from "./options.ts";
import { droppedOf, itemsOf, makePairs, type Pair } from "./pairs.ts";
import { type BaseReading, pickReading, readRuns } from "./reading.ts";
import { meanPresent } from "./summary.ts";
import { screen } from "./validity.ts";

export interface CompareMethodsOptions
  extends CallOptions,
    Pick<IdentifyOptions, "effect" | "guard" | "draws" | "seed" | "batch" | "onlyCorrect"> {
  /** How many of the strongest count for overlap and signs; 10. */
  readonly top?: number;
  /** Exact edges cost one run an edge; by default where there are at most `mostEdges`. */
  readonly edges?: boolean;
  /** 20,000 */
  readonly mostEdges?: number;
  /** Points of EAP-IG; 5. */
  readonly steps?: number;
  /** Also weigh circuits of the first senders (CPR, CMD); on by default. */
  readonly circuits?: boolean;
}

interface Run {
  readonly name: string;
  readonly options: IdentifyOptions;
}
interface Estimand {
  readonly name: EstimandJudgement["estimand"];
  readonly exact: IdentifyOptions;
  readonly approximations: readonly Run[];
}

const run = (name: string, options: IdentifyOptions): Run => ({ name, options });
const ofActivation = (positions: "end" | "all"): Run[] => [
  run("atp", { method: "atp", positions }),
  run("atp-star", { method: "atp-star", positions, parts: false }),
  run("relp", { method: "relp", positions }),
];

/**
 * Judges every approximation. Positions other than END, and edges, need pairs of equal length; where
 * there are none, `skipped` says so.
 *
 * @example
 * const { estimands } = await compareMethods(model, items);
 * console.log(estimands[0]?.methods.map(({ method, rank }) => [method, rank.mean]));
 */
export async function compareMethods(
  model: Model,
  items: ItemSet | readonly Item[],
  options: CompareMethodsOptions = {},
): Promise<CompareMethodsResult> {
  const started = performance.now();
  const { top = 10 } = options;
  if (!(Number.isInteger(top) && top >= 1)) {
    throw new KeyheadsError("BAD_ARGUMENT", `top ${top}: expected an integer of at least 1`);
  }
  const context = await prepare(model, items, options);
  const { estimands, skipped } = planned(context, options);
  const graph = edgeGraph(model.spec);
  const edges = skipped.every(({ estimand }) => estimand !== "edges");
  const judged: EstimandJudgement[] = [];
  const stages = estimands.length + (edges ? 1 : 0);
  for (const estimand of estimands) {
    judged.push(await judgeSenders(context, estimand));
    options.onProgress?.(judged.length, stages);
  }
  if (edges) {
    judged.push(await judgeEdges(context, edgeCount(graph)));
    options.onProgress?.(judged.length, stages);
  }
  return {
    items: { used: context.pairs.length, dropped: droppedOf(items) },
    effect: context.effect.name,
    estimands: judged,
    skipped,
    seconds: (performance.now() - started) / 1000,
  };
}

interface Context {
  readonly model: Model;
  readonly pairs: readonly Pair[];
  readonly effect: Effect;
  readonly reference: BaseReading;
  readonly clusters: Clusters;
  readonly senders: readonly Component[];
  readonly options: CompareMethodsOptions;
  readonly call: CallOptions;
}

/** The pairs that are left after screening, with what X_r gave. */
async function prepare(
  model: Model,
  items: ItemSet | readonly Item[],
  options: CompareMethodsOptions,
): Promise<Context> {
  const all = makePairs(itemsOf(items), "own", "end", options.seed ?? 0);
  const effect = chooseEffect(options.effect, all);
  const call: CallOptions = options.signal ? { signal: options.signal } : {};
  const batch = options.batch ?? 64;
  const ofReference = await readRuns(model, all, (pair) => pair.reference, batch, call);
  const ofCounterfactual = await readRuns(model, all, (pair) => pair.counterfactual, batch, call);
  const { kept } = screen(all, ofReference, ofCounterfactual, {
    onlyCorrect: options.onlyCorrect ?? false,
    excludeUnchanged: true,
  });
  const pairs = kept.map((i) => all[i] as Pair);
  return {
    ...{ model, pairs, effect, options, call },
    reference: pickReading(ofReference, kept),
    clusters: numberClusters(pairs.map(({ cluster }) => cluster)),
    senders: [...allHeads(model.spec), ...allMlps(model.spec)],
  };
}

function planned({ model, pairs }: Context, { edges, mostEdges = 20_000 }: CompareMethodsOptions) {
  const ragged = pairs.some(
    ({ reference, counterfactual }) => reference.length !== counterfactual.length,
  );
  const count = edgeCount(edgeGraph(model.spec));
  const skipped: { estimand: string; why: string }[] = [];
  const unequal = "prompts and counterfactuals differ in length";
  const estimands: Estimand[] = [
    {
      name: "activation, END",
      exact: { method: "activation" },
      approximations: ofActivation("end"),
    },
    {
      name: "path patching",
      exact: { method: "exact" },
      approximations: [run("direct-gradient", { method: "direct-gradient" })],
    },
  ];
  if (ragged) skipped.push({ estimand: "activation, all positions", why: unequal });
  else {
    estimands.splice(1, 0, {
      name: "activation, all positions",
      exact: { method: "activation", positions: "all" },
      approximations: ofActivation("all"),
    });
  }
  if (ragged) skipped.push({ estimand: "edges", why: unequal });
  else if (!(edges ?? count <= mostEdges)) {
    const why =
      edges === false ? "not asked for" : `${count} edges take as many runs; ask for them`;
    skipped.push({ estimand: "edges", why });
  }
  return { estimands, skipped };
}

async function timed<T>(work: () => Promise<T>): Promise<{ value: T; seconds: number }> {
  const start = performance.now();
  const value = await work();
  return { value, seconds: (performance.now() - start) / 1000 };
}

/** Effects by one method, and its time without the plain runs that all methods share. */
async function effectsOf(context: Context, wanted: IdentifyOptions) {
  const { model, pairs, senders, effect, reference, options, call } = context;
  const chosen = { ...checkMethod(wanted), senders, batch: options.batch ?? 32 };
  const metric = { effect, reference, guard: guardOf(options) };
  return await timed(async () => {
    return await effectsBy(model, pairs, chosen, { ...wanted, ...call }, metric);
  });
}

async function judgeSenders(
  context: Context,
  { name, exact, approximations }: Estimand,
): Promise<EstimandJudgement> {
  const { senders } = context;
  const truth = await effectsOf(context, exact);
  const methods: MethodJudgement[] = [];
  for (const { name: method, options } of approximations) {
    const found = await effectsOf(context, options);
    methods.push({
      ...{ method, seconds: found.seconds, speedup: truth.seconds / found.seconds },
      ...agree(context, truth.value.effects, found.value.effects),
      ...(await weigh(context, found.value)),
    });
  }
  return {
    ...{ estimand: name, of: senders.length, seconds: truth.seconds, methods },
    ...(await weigh(context, truth.value)),
  };
}

async function judgeEdges(context: Context, of: number): Promise<EstimandJudgement> {
  const { model, pairs, effect, reference, options, call } = context;
  const metric = { pairs, effect, reference, guard: guardOf(options) };
  const truth = await timed(async () => await exactEdges(model, metric, "all", call));
  const exact = Array.from({ length: of }, (_, edge) =>
    truth.value.subarray(edge * pairs.length, (edge + 1) * pairs.length),
  );
  const steps = options.steps ?? 5;
  const approximations = [
    run("eap", { method: "eap" }),
    run("eap-ig, inputs", { method: "eap-ig", steps }),
    run("eap-ig, activations", { method: "eap-ig", steps, interpolate: "activations" }),
  ];
  const methods: MethodJudgement[] = [];
  for (const { name: method, options: wanted } of approximations) {
    const found = await effectsOf(context, wanted);
    const effects = found.value.edges?.effects ?? [];
    methods.push({
      ...{ method, seconds: found.seconds, speedup: truth.seconds / found.seconds },
      ...agree(context, exact, effects),
      ...(await weighEdges(context, effects)),
    });
  }
  return {
    ...{ estimand: "edges", of, seconds: truth.seconds, methods },
    ...(await weighEdges(context, exact)),
  };
}

function agree(
  { clusters, options }: Context,
  exact: readonly Float64Array[],
  approximate: readonly Float64Array[],
) {
  const { top = 10, draws = 200, seed = 0 } = options;
  return agreement(exact, approximate, clusters, { top, draws, seed });
}

/** CPR and CMD of the senders in their order, everything else as on X_c. */
async function weigh(
  { model, pairs, senders, effect, options, call }: Context,
  { effects }: Approximated,
): Promise<Pick<MethodJudgement, "circuit">> {
  const ragged = pairs.some(
    ({ reference, counterfactual }) => reference.length !== counterfactual.length,
  );
  if (options.circuits === false || ragged) return {};
  const scores = senders.map((component, s) => ({
    component,
    score: effect.harm * meanPresent(effects[s] as Float64Array),
  }));
  const best = scores.reduce((a, b) => (b.score > a.score ? b : a));
  const { cpr, cmd } = await circuit(
    model,
    pairs.map(({ item }) => item),
    {
      ...(best.component.head < 0 ? { mlps: [best.component.layer] } : { heads: [best.component] }),
      ...{ scores, ablation: "counterfactual", mlpsOutside: "removed", subsets: 0, draws: 1 },
      ...call,
    },
  );
  return cpr === undefined || cmd === undefined ? {} : { circuit: { cpr, cmd } };
}

/** CPR and CMD over numbers of edges, in their order. */
async function weighEdges(
  { model, pairs, effect, options, call }: Context,
  effects: readonly Float64Array[],
): Promise<Pick<MethodJudgement, "circuit">> {
  if (options.circuits === false) return {};
  const { heads, kvHeads } = model.spec;
  const measured = edgeNames(edgeGraph(model.spec)).map((names, edge) => ({
    ...names,
    effect: meanPresent(effects[edge] as Float64Array),
  }));
  const scores = [...edgeScores(measured, { heads, kvHeads, harm: effect.harm })].map(
    ([component, score]) => ({ component, score }),
  );
  const best = scores.reduce((a, b) => (b.score > a.score ? b : a));
  const { cpr, cmd } = await edgeCircuit(
    model,
    pairs.map(({ item }) => item),
    { edges: [best.component], scores, draws: 1, ...call },
  );
  return cpr === undefined || cmd === undefined ? {} : { circuit: { cpr, cmd } };
}
