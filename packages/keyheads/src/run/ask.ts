// One question of one model: which heads and MLPs, is it they, what do they look at.
import { attentionByRole } from "../analysis/attention-by-role.ts";
import { lens } from "../analysis/lens.ts";
import { compareMethods } from "../attribution/compare-methods.ts";
import { allHeads, componentName, type HeadRef } from "../attribution/component.ts";
import { effectOf } from "../attribution/effects.ts";
import { identify } from "../attribution/identify.ts";
import type { IdentifyOptions } from "../attribution/options.ts";
import type { HeadInput } from "../attribution/paths/receivers.ts";
import type { CallOptions, Model } from "../model.ts";
import type { Experiment, GraphResult, IdentifyResult, RoleShare } from "../results.ts";
import { choose } from "../statistics/combinations.ts";
import type { ItemSet } from "../tasks/items.ts";
import { topHeads } from "../tuning/draws.ts";
import { parseHeads } from "../tuning/selection.ts";
import { circuit } from "../validation/circuit.ts";
import { controls } from "../validation/controls.ts";
import { edgeCircuit } from "../validation/edge-circuit.ts";
import { edgeScores } from "../validation/graph.ts";
import { knockOut } from "../validation/knock-out.ts";
import type { Scored } from "../validation/size-curve.ts";
import { subsets } from "../validation/subsets.ts";
import { attempt } from "./attempt.ts";
import type { RunQuestion } from "./plan.ts";
import type { Stage } from "./run-folder.ts";

/** Heads that are looked at closely: those the attribution names, at least this many. */
const leastKeyHeads = 3;
const mostKeyHeads = 10;
/** All sets of up to three heads, where there are no more than this. */
const mostSubsets = 1000;
/** A circuit is run without hundreds of sets: on so many items. */
const mostCircuitItems = 200;
/** Parts of it that are removed, and random heads beside it. */
const mostParts = 8;
/** Edges that are drawn. */
const mostEdges = 80;
/** Heads whose inputs are looked at. */
const mostFedHeads = 3;
/** An untrained copy of a larger model is not made on the way. */
const mostCopiedParameters = 2e8;
/** Bootstrap draws of their maps. */
const pathDraws = 200;
/** So many items show what feeds a head, and judge approximations. */
const mostPathItems = 64;
const mostJudgedItems = 32;
/** Exact edges are judged where there are no more than this. */
const mostExactEdges = 1000;

export interface AskOptions extends CallOptions {
  readonly seed: number;
  readonly stage: Stage;
}

/** The heads that a question's knock-outs, analyses and tuning are about, most harmful first. */
export function keyHeadsOf(direct: IdentifyResult): HeadRef[] {
  const named = direct.keyHeads.flatMap((head) => parseHeads(head));
  if (named.length >= leastKeyHeads) return named.slice(0, mostKeyHeads);
  return topHeads(direct, leastKeyHeads);
}

export async function ask(
  model: Model,
  question: RunQuestion,
  { seed, stage, ...call }: AskOptions,
): Promise<Experiment> {
  const { name, discover, test, control } = question;
  const attribute = (part: string, items: ItemSet, options: IdentifyOptions) =>
    stage(`${name}.${part}`, () => identify(model, items, { ...call, seed, ...options }));
  const direct = await attribute("direct", discover, { onlyCorrect: true, pValues: true });
  const heads = keyHeadsOf(direct);
  const activation = { method: "activation", onlyCorrect: true } as const;
  const equalLengths = discover.items.every(
    (item) => item.counterfactual?.length === item.reference.length,
  );

  const directOnAll = await attribute("direct-on-all", discover, { excludeUnchanged: false });
  const totalEnd = await attribute("total-end", discover, { ...activation, positions: "end" });
  const totalAll = equalLengths
    ? await attribute("total-all", discover, { ...activation, positions: "all" })
    : undefined;
  const unrelated = question.unrelated ?? discover;
  const randomCounterfactual = await attribute("unrelated", unrelated, {
    onlyCorrect: true,
    ...(question.unrelated ? {} : { counterfactual: "random-other" as const }),
  });

  const removal = {
    ...call,
    ...{ seed, positions: "end" as const, answer: question.scored ?? ("all" as const) },
    ...(control && { control: control.test }),
  };
  const knockout = await stage(`${name}.knockout`, () =>
    knockOut(model, test, { ...removal, heads, random: 200 }),
  );
  const count = allHeads(model.spec).length;
  const few = [1, 2, 3].reduce((sum, k) => sum + choose(count, k), 0) <= mostSubsets;
  const everySubset = few
    ? await stage(`${name}.subsets`, () => subsets(model, test, { ...removal, size: 3 }))
    : undefined;
  const proof = await attempt("The circuit was not weighed", () =>
    stage(`${name}.circuit`, () =>
      circuit(model, limited(test, mostCircuitItems), {
        ...call,
        ...{ seed, heads, positions: "end", subsets: mostParts, random: mostParts },
        scores: scoresOf(direct),
      }),
    ),
  );
  const byEdge = await attempt("The circuit was not drawn", async () =>
    equalLengths
      ? await attribute("graph", limited(discover, mostCircuitItems), {
          ...{ onlyCorrect: true, method: "eap-ig", edges: mostEdges },
        })
      : undefined,
  );
  const graph = byEdge.value && graphOf(byEdge.value);
  const alone = graph
    ? await attempt("The drawn edges were not run alone", () =>
        stage(`${name}.graph-alone`, () => runAlone(model, graph, limited(test, mostPathItems))),
      )
    : {};
  const fed = inputsOf(heads, equalLengths);
  const paths = [];
  for (const receiver of fed) {
    paths.push(
      await attribute(
        `into-${receiver.input}-${componentName(receiver)}`,
        limited(discover, mostPathItems),
        {
          ...{ onlyCorrect: true, receivers: [receiver], draws: pathDraws },
        },
      ),
    );
  }
  const methods = await attempt("Approximations were not judged", () =>
    stage(`${name}.methods`, () =>
      compareMethods(model, limited(discover, mostJudgedItems), {
        ...call,
        ...{ seed, onlyCorrect: true, circuits: false },
        mostEdges: mostExactEdges,
      }),
    ),
  );
  const small = model.parameterCount <= mostCopiedParameters;
  const negative = small
    ? await stage(`${name}.controls`, () =>
        controls(model, limited(discover, mostPathItems), { ...call, seed, draws: pathDraws }),
      )
    : undefined;
  const notes = [proof.note, byEdge.note, alone.note, methods.note].filter(
    (note) => note !== undefined,
  );
  const attention = await stage(`${name}.attention`, () =>
    attentionByRole(model, test, { ...call, heads, seed }),
  );
  const byLayer = await stage(`${name}.lens`, () => lens(model, test, call));
  return {
    name,
    title: question.title.charAt(0).toUpperCase() + question.title.slice(1),
    description: question.description,
    ...(control && { control: control.title }),
    direct,
    directOnAll,
    totalEnd,
    ...(totalAll && { totalAll }),
    randomCounterfactual,
    knockout,
    ...(everySubset && { subsets: everySubset }),
    attention,
    lens: byLayer,
    ...(proof.value && { circuit: proof.value }),
    ...(graph && { graph: { ...graph, ...(alone.value && { faithfulness: alone.value }) } }),
    ...(paths.length > 0 && { paths }),
    ...(methods.value && { methods: methods.value }),
    ...(negative && { controls: negative }),
    ...(notes.length > 0 && { notes }),
  };
}

/**
 * Inputs of the strongest heads that anything can feed; keys and values act from all positions, which
 * needs prompts and counterfactuals of one length.
 */
function inputsOf(heads: readonly HeadRef[], equalLengths: boolean): HeadInput[] {
  const inputs = equalLengths ? (["q", "k", "v"] as const) : (["q"] as const);
  return heads
    .filter(({ layer }) => layer > 0)
    .slice(0, mostFedHeads)
    .flatMap(({ layer, head }) => inputs.map((input) => ({ input, layer, head })));
}

function graphOf({
  method,
  effect,
  edges = [],
  edgeCount = edges.length,
}: IdentifyResult): GraphResult {
  return { method, effect, edges, edgeCount };
}

/** How much of the task the edges do by themselves. */
async function runAlone(
  model: Model,
  { edges, effect }: GraphResult,
  items: ItemSet,
): Promise<RoleShare> {
  const { heads, kvHeads } = model.spec;
  const { harm } = effectOf(effect, true);
  const scores = edgeScores(edges, { heads, kvHeads, harm });
  const proof = await edgeCircuit(model, items, { edges: [...scores.keys()] });
  return proof.faithfulness;
}

function limited(set: ItemSet, most: number): ItemSet {
  return { ...set, items: set.items.slice(0, most) };
}

/** Effects of heads as scores: positive helps the answer. */
function scoresOf({ heads, effect }: IdentifyResult): Scored[] {
  const { harm } = effectOf(effect, true);
  return heads.flatMap((row, layer) =>
    row.map((value, head) => ({ component: { layer, head }, score: harm * value })),
  );
}
