// Paths into receivers: the sweep against one hooked forward pass each, grouped queries against a model
// in which no head shares its keys and values, and the circuit of the planted model.
import type { FloatArray } from "@keyheads/native";
import { describe, expect, it } from "vitest";
import { allHeads, allMlps } from "../../packages/keyheads/src/attribution/component.ts";
import { identify } from "../../packages/keyheads/src/attribution/identify.ts";
import type { Pair } from "../../packages/keyheads/src/attribution/pairs.ts";
import { pathPatch } from "../../packages/keyheads/src/attribution/path-patch.ts";
import { activationByPosition } from "../../packages/keyheads/src/attribution/paths/by-position.ts";
import { type PathSweep, patchInto } from "../../packages/keyheads/src/attribution/paths/into.ts";
import { patchUnits } from "../../packages/keyheads/src/attribution/paths/patch-units.ts";
import {
  parseReceivers,
  type Receiver,
} from "../../packages/keyheads/src/attribution/paths/receivers.ts";
import { sideBySide } from "../../packages/keyheads/src/attribution/paths/side-by-side.ts";
import { traceCircuit } from "../../packages/keyheads/src/attribution/paths/trace.ts";
import type { Unit } from "../../packages/keyheads/src/attribution/paths/unit.ts";
import type { Model } from "../../packages/keyheads/src/model.ts";
import { ids, loadFixture } from "../engine/fixtures.ts";
import { choiceSpec, modelOf, randomWeights } from "../engine/random-models.ts";
import { loadPlanted } from "./golden-items.ts";

const families = ["llama", "llama-gqa", "gpt_neox", "gemma2", "olmo2", "mixtral", "gpt2"];

function pairsOf(model: Model, seed: number, lengths = [5, 2, 4]): Pair[] {
  const { vocab } = model.spec;
  return lengths.map((n, i) => ({
    item: {} as Pair["item"],
    reference: [...ids(n, vocab, seed + i)],
    counterfactual: [...ids(n, vocab, seed + i + 31)],
    answer: (7 * i + seed) % vocab,
    counterfactualAnswer: (11 * i + seed + 1) % vocab,
    cluster: String(i),
  }));
}

function unitsOf({ spec }: Model): Unit[] {
  const neurons =
    spec.experts > 0
      ? []
      : [
          { layer: 0, neuron: 2 },
          { layer: 1, neuron: 0 },
        ];
  return [...allHeads(spec), ...allMlps(spec), ...neurons, { back: 0 }, { back: 1 }, { back: 4 }];
}

async function logits(model: Model, pairs: readonly Pair[], sweep: PathSweep): Promise<number[]> {
  const found = await patchInto(model, pairs, sweep, {});
  return found.flatMap((one) => [...(one.logits as FloatArray), ...(one.logsumexp as FloatArray)]);
}

function expectClose(found: readonly number[], wanted: readonly number[], what: string): void {
  expect(found.length).toBe(wanted.length);
  // Rounding of float64 over a few hundred operations, on logits of size ten.
  found.forEach((x, i) => {
    if (Math.abs(x - (wanted[i] as number)) > 1e-11) {
      expect.fail(`${what}, number ${i}: ${x}, expected ${wanted[i]}`);
    }
  });
}

describe.each(families)("paths in %s", (name) => {
  it("equal two hooked forward passes a sender, whatever the receivers", async () => {
    using model = await loadFixture(name, "f64");
    const { layers, heads } = model.spec;
    const pairs = pairsOf(model, 3);
    const last = layers - 1;
    const cases: [string, Partial<PathSweep>][] = [
      [`q:${last}.0`, {}],
      [`q:${last}.${heads - 1},q:1.0,q:1.1`, { freeze: "attention+mlp" }],
      [`k:${last}.1,v:${last}.1,v:1.${heads - 1}`, { at: "all" }],
      [`k:1.0,q:1.0,v:1.1,mlp:${last}`, { at: "all", wholeGroups: true }],
      [`mlp:0,resid:1,q:${last}.1`, { at: [0, 1] }],
      [`resid:${layers}`, { at: "all", freeze: "attention+mlp" }],
    ];
    let changed = 0;
    for (const [receivers, change] of cases) {
      const sweep: PathSweep = {
        senders: unitsOf(model),
        receivers: parseReceivers(receivers),
        at: "end",
        freeze: "attention",
        wholeGroups: false,
        logsumexp: true,
        naive: false,
        ...change,
      };
      const [fast, slow] = [
        await logits(model, pairs, sweep),
        await logits(model, pairs, { ...sweep, naive: true }),
      ];
      expectClose(fast, slow, receivers);
      changed += new Set(fast.map((x) => x.toFixed(6))).size;
    }
    // Most senders reach some receiver: else all of this would compare nothing.
    expect(changed).toBeGreaterThan(cases.length * 20);
  });
});

it("into keys and values of grouped queries change the copy that one head reads", async () => {
  const grouped = choiceSpec("one norm for all heads, scaled rotation");
  const { heads, kvHeads, dHead, dModel } = grouped;
  const share = heads / kvHeads;
  const weights = randomWeights(grouped, 5);
  const alone = { ...grouped, kvHeads: heads };
  const copied = new Map(weights);
  for (const [key, values] of weights) {
    const slot = /^(wk|wv|bk|bv)\b/.exec(key)?.[1];
    if (!slot) continue;
    const size = dHead * (slot.startsWith("w") ? dModel : 1);
    const out = new Float64Array(heads * size);
    for (let h = 0; h < heads; ++h) {
      const group = Math.floor(h / share);
      out.set(values.subarray(group * size, (group + 1) * size), h * size);
    }
    copied.set(key, out);
  }
  using shared = await modelOf(grouped, weights);
  using apart = await modelOf(alone, copied);
  const pairs = pairsOf(shared, 8);
  expect(share).toBeGreaterThan(1);
  for (const receivers of ["k:2.1", "v:1.0,k:1.1,q:1.1", "k:1.2,v:1.2,v:2.3,q:2.0,mlp:1"]) {
    const sweep: PathSweep = {
      senders: unitsOf(shared),
      receivers: parseReceivers(receivers),
      at: "all",
      freeze: "attention",
      wholeGroups: false,
      logsumexp: true,
      naive: false,
    };
    const wanted = await logits(apart, pairs, sweep);
    expectClose(await logits(shared, pairs, sweep), wanted, receivers);
    const groups = await logits(shared, pairs, { ...sweep, wholeGroups: true });
    expect(Math.max(...groups.map((x, i) => Math.abs(x - (wanted[i] as number))))).toBeGreaterThan(
      1e-3,
    );
  }
});

describe("the planted model", () => {
  it("has its circuit traced from the logits back", async () => {
    const { model, items } = await loadPlanted();
    using _ = model;
    const some = items.items.filter((_, i) => i % 8 === 0);
    const traced = await traceCircuit(model, some, { draws: 50, counterfactual: "random-other" });
    const names = traced.nodes.map(({ name }) => name);
    for (const planted of ["0.2", "0.6", "1.5", "mlp 3"]) expect(names).toContain(planted);
    // Heads that nothing reads are no part of it.
    expect(names).not.toContain("1.3");
    const intoLookup = traced.edges.filter(({ to }) => to === "mlp 3").map(({ from }) => from);
    expect(intoLookup).toEqual(expect.arrayContaining(["0.2", "1.5"]));
    for (const { from, to } of traced.edges) {
      expect(names).toContain(from);
      expect(names).toContain(to);
    }
  });

  it("gives every sender into the last stream what it does to the logits", async () => {
    const { model, items } = await loadPlanted();
    using _ = model;
    const some = items.items.slice(0, 12);
    const options = { draws: 20, counterfactual: "random-other", seed: 4 } as const;
    const direct = await pathPatch(model, some, options);
    const { layers } = model.spec;
    const receivers: Receiver[] = [{ input: "resid", layer: layers }];
    const through = await pathPatch(model, some, { ...options, receivers });
    expect(through.receivers).toEqual([`resid:${layers}`]);
    direct.heads.flat().forEach((effect, i) => {
      expect(through.heads.flat()[i]).toBeCloseTo(effect, 4);
    });
  });

  it("shows where a head acts, and adds up with patching at END", async () => {
    const { model, items } = await loadPlanted();
    using _ = model;
    const some = items.items.slice(0, 8);
    const options = { draws: 20, counterfactual: "random-other" } as const;
    const fast = await activationByPosition(model, some, options);
    const slow = await activationByPosition(model, some, { ...options, naive: true });
    fast.heads.flat(2).forEach((x, i) => {
      expect(x).toBeCloseTo(slow.heads.flat(2)[i] as number, 4);
    });
    const end = await identify(model, some, { ...options, method: "activation" });
    const column = fast.offsets.indexOf(0);
    fast.heads.forEach((row, l) => {
      row.forEach((effects, h) => {
        expect(effects[column]).toBeCloseTo(end.heads[l]?.[h] as number, 4);
      });
    });
    fast.mlps.forEach((effects, l) => {
      expect(effects[column]).toBeCloseTo(end.mlps[l] as number, 4);
    });
  });

  it("shows the three effects side by side", async () => {
    const { model, items } = await loadPlanted();
    using _ = model;
    const some = items.items.slice(0, 12);
    const options = { draws: 20, counterfactual: "random-other" } as const;
    const { direct, totalEnd, totalAll } = await sideBySide(model, some, options);
    expect(direct.method).toBe("exact");
    expect([totalEnd.positions, totalAll?.positions]).toEqual(["end", "all"]);
    expect(totalEnd.heads[0]?.[2]).toBeCloseTo(direct.heads[0]?.[2] as number, 1);
  });

  it("sums what neurons do to nearly what their MLP does", async () => {
    const { model, items } = await loadPlanted();
    using _ = model;
    const some = items.items.slice(0, 6);
    const options = { draws: 20, counterfactual: "random-other", mlpPath: "freeze" } as const;
    const last = model.spec.layers - 1;
    const neurons = Array.from({ length: model.spec.dMlp }, (_, neuron) => ({
      layer: last,
      neuron,
    }));
    const { units } = await patchUnits(model, some, neurons, options);
    const naive = await patchUnits(model, some, neurons.slice(0, 9), { ...options, naive: true });
    for (const [i, { effect }] of naive.units.entries()) {
      expect(units[i]?.effect).toBeCloseTo(effect, 4);
    }
    const { mlps } = await pathPatch(model, some, options);
    const strongest = Math.min(...units.map(({ effect }) => effect));
    expect(strongest).toBeLessThan(0);
    expect(mlps[last]).toBeLessThan(strongest);
  });
});

it.each([
  ["q:9.0", /receiver q:9.0 does not exist/],
  ["q:0.0,q:0.0", /named twice/],
])("refuses receivers %s", async (receivers, message) => {
  using model = await loadFixture("llama", "f32");
  const items = itemsOf(model) as never;
  const run = pathPatch(model, items, { receivers: parseReceivers(receivers) });
  await expect(run).rejects.toThrow(message);
});

it.each(["q3.1", "z:1.2", "mlp:1.2", ""])("does not read %s as a receiver", (text) => {
  expect(() => parseReceivers(text)).toThrow(/expected q:3.1, k:3.1 or v:3.1/);
});

function itemsOf(model: Model): object[] {
  return pairsOf(model, 1).map(({ reference, counterfactual, answer }, i) => ({
    ...{ id: String(i), line: i + 1, reference, counterfactual, answerId: answer },
    ...{ promptIds: reference, answerIds: [answer], target: 0, roles: {} },
  }));
}
