// The sweep against the naive way, one full forward with ordinary edits a variant, in float64 and on
// random variants of random models.
import type { FloatArray } from "@keyheads/native";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { naiveSweep } from "../../packages/keyheads/src/attribution/naive-sweep.ts";
import { hooks } from "../../packages/keyheads/src/hooks.ts";
import type { Model, SweepOptions } from "../../packages/keyheads/src/model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { familyNames, loadFixture } from "./fixtures.ts";
import { choiceNames, randomModel } from "./random-models.ts";
import { randomSweep } from "./random-variants.ts";

const freezes = ["none", "attention", "attention+mlp"] as const;

describe.each([...familyNames, ...choiceNames])("sweep of %s", (name) => {
  let model: Model;
  beforeAll(async () => {
    model = await loadFixture(name, "f64");
  });
  afterAll(() => model.dispose());

  it.each(freezes)("freeze %s equals hooked forwards", async (freeze) => {
    for (let seed = 0; seed < 4; ++seed) {
      await expectEqual(model, randomSweep(model, freeze, rng(seed)), `seed ${seed}`);
    }
  });
});

it("of models whose choices are drawn equals hooked forwards", async () => {
  for (let seed = 0; seed < 12; ++seed) {
    using model = await randomModel(`sweep ${seed}`);
    const freeze = freezes[seed % 3] as (typeof freezes)[number];
    for (let i = 0; i < 3; ++i) {
      const sweep = randomSweep(model, freeze, rng(100 * seed + i));
      await expectEqual(model, sweep, `model ${seed}, sweep ${i}`);
    }
  }
});

describe("a sweep", () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadFixture("llama", "f64");
  });
  afterAll(() => model.dispose());
  const sequences = [
    [1, 2, 3],
    [4, 5, 6, 7],
  ];
  const readout = { logits: "all" } as const;

  it("needs no more memory at a time for more variants", async () => {
    const edits = (count: number) =>
      Array.from({ length: count }, (_, i) => [
        { hook: hooks.z(i % model.spec.layers), head: 0, op: "scale", factor: i / count } as const,
      ]);
    const most = async (count: number) => {
      const variants = edits(count);
      const { runBytes, resultBytes } = await model.plan({
        sweep: {
          sequences,
          variants,
          readout: { logits: "none", argmax: true },
          workBytes: 2 ** 19,
        },
      });
      return runBytes - resultBytes;
    };
    expect(await most(400)).toBeLessThan(1.05 * (await most(100)));
  });

  it("tells how far it is, and stops when it is told to", async () => {
    const variants = Array.from({ length: 1000 }, (_, i) => [
      { hook: hooks.resid_pre(0), op: "scale", factor: 1 + i } as const,
    ]);
    const options = { sequences, variants, readout, workBytes: 1 };
    const seen: number[] = [];
    await model.sweep(options, { onProgress: (done, total) => void seen.push(done / total) });
    expect(seen.at(-1)).toBe(1);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    const stop = new AbortController();
    const run = model.sweep(options, { signal: stop.signal });
    stop.abort();
    await expect(run).rejects.toMatchObject({ code: "CANCELLED" });
  });

  it.each<[string, Partial<SweepOptions>, RegExp]>([
    ["a head that is not there", variant({ hook: hooks.z(0), head: 9, op: "zero" }), /no head 9/],
    ["a layer that is not there", variant({ hook: hooks.z(9), op: "zero" }), /no layer 9/],
    ["a column that is not there", variant({ hook: hooks.z(0), columns: [99], op: "zero" }), /99/],
    ["a function", variant({ hook: hooks.z(0), run: () => {} } as never), /op/],
    [
      "values that do not fit",
      variant({ hook: hooks.z(0), op: "set", value: new Float64Array(3) }),
      /value has 3 elements, expected/,
    ],
    [
      "values that end too early",
      variant({
        hook: hooks.z(0),
        op: "set",
        value: { array: new Float64Array(50), offset: 0, row: 50 },
      }),
      /of a value that has 50/,
    ],
    [
      "frozen attention",
      { ...variant({ hook: hooks.v(0), op: "zero" }), freeze: "attention" },
      /attention is frozen, so attn.hook_v changes nothing/,
    ],
    [
      "a frozen MLP",
      { captures: [{ hook: hooks.mlp_pre(0) }], freeze: "attention+mlp" },
      /MLPs are frozen/,
    ],
    [
      "tokens that are not there",
      { readout: { logits: "tokens", tokens: Int32Array.of(1, 9999) } },
      /token id 9999/,
    ],
  ])("refuses %s", async (_, change, message) => {
    const run = model.sweep({ sequences, variants: [[]], readout, ...change });
    await expect(run).rejects.toThrow(message);
  });
});

function variant(edit: SweepOptions["variants"][number][number]): Partial<SweepOptions> {
  return { variants: [[edit]] };
}

async function expectEqual(model: Model, options: SweepOptions, what: string): Promise<void> {
  const naive = await naiveSweep(model, options);
  const swept = await model.sweep(options);
  const compare = (found: FloatArray | undefined, wanted: FloatArray | undefined, of: string) => {
    expect(found?.length, of).toBe(wanted?.length);
    for (const [i, x] of (wanted ?? []).entries()) {
      const y = found?.[i] as number;
      // Rounding of float64 over a few hundred operations, on numbers of any size.
      const close = Object.is(x, y) || Math.abs(x - y) <= 1e-11 * Math.max(1, Math.abs(x));
      if (!close) expect.fail(`${what}, ${of}, number ${i}: ${y}, naive ${x}\n${show(options)}`);
    }
  };
  for (const part of ["base", "variants"] as const) {
    const [found, wanted] = [swept[part], naive[part]];
    compare(found.logits, wanted.logits, `logits of ${part}`);
    compare(found.logsumexp, wanted.logsumexp, `logsumexp of ${part}`);
    expect(found.argmax).toEqual(wanted.argmax);
    for (const [c, site] of (options.captures ?? []).entries()) {
      compare(found.captures[c], wanted.captures[c], `${site.hook} of ${part}`);
    }
  }
}

function show({ variants, captures, freeze, sequences, workBytes }: SweepOptions): string {
  const short = (_: string, value: unknown) =>
    ArrayBuffer.isView(value) ? `${(value as FloatArray).length} numbers` : value;
  return JSON.stringify(
    { freeze, workBytes, lengths: sequences.map((s) => s.length), captures, variants },
    short,
  );
}
