// Paths on the command line, on the planted model whose circuit is known.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { failure, json, planted, problems, scratch } from "./keyheads.ts";

const items = ["--items", problems, "--draws", "20"];

describe.concurrent("paths", () => {
  test("trace finds the planted circuit and writes it as a circuit file", async () => {
    const file = join(scratch(), "circuit.json");
    const args = ["trace", planted, ...items, "--depth", "2", "--save-circuit", file];
    const result = await json(args);
    const { nodes, edges } = result as {
      nodes: { name: string }[];
      edges: { from: string; to: string; input: string; effect: number; share: number }[];
    };
    const names = nodes.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["logits", "mlp 3", "0.2", "0.6", "1.5"]));
    expect(edges).toContainEqual(
      expect.objectContaining({ from: "1.5", to: "mlp 3", input: "mlp" }),
    );
    const written = JSON.parse(readFileSync(file, "utf8"));
    expect(written.nodes["a1.h5"]).toEqual({ in_graph: true });
    expect(written.edges["a1.h5->m3"].in_graph).toBe(true);
    expect(written.edges["a1.h5->m3"].score).toBeGreaterThan(1);
    expect(written.edges["a1.h3->m3"].in_graph).toBe(false);
    const proof = await json(["circuit", planted, ...items, "--circuit", file]);
    expect(proof).toMatchObject({ level: "edges" });
    expect((proof.faithfulness as { mean: number }).mean).toBeGreaterThan(0.9);
  });

  test("identify takes receivers", async () => {
    const args = ["identify", planted, ...items, "--receivers", "mlp:3"];
    const result = await json(args);
    expect(result).toMatchObject({ method: "exact", positions: "end", receivers: ["mlp:3"] });
    expect([...(result.keyHeads as string[])].sort()).toEqual(["0.2", "0.6", "1.5"]);
  });

  test("identify patches position by position", async () => {
    const args = ["identify", planted, ...items, "--method", "activation", "--by-position"];
    const result = await json([...args, "--senders", "heads"]);
    const offsets = result.offsets as number[];
    expect(offsets).toEqual([-3, -2, -1, 0]);
    const heads = result.heads as number[][][];
    expect(heads[1]?.[5]?.[3]).toBeLessThan(-10);
    expect(Math.abs(heads[1]?.[5]?.[1] as number)).toBeLessThan(1);
    expect(result.mlps).toEqual(Array(4).fill(Array(4).fill(null)));
  });

  test("identify shows three effects, neurons and embeddings", async () => {
    const args = [
      "identify",
      planted,
      ...items,
      "--side-by-side",
      "--senders",
      "heads,embeds,neurons:3",
    ];
    const result = await json(args);
    expect(result.totalEnd).toMatchObject({ method: "activation", positions: "end" });
    expect(result.totalAll).toMatchObject({ method: "activation", positions: "all" });
    const names = (result.units as { name: string }[]).map(({ name }) => name);
    expect(names).toContain("neuron 3.0");
    expect(names).toContain("embed -3");
  });

  test.each([
    [["--by-position"], /--by-position needs --method activation/],
    [["--side-by-side", "--method", "naive"], /--side-by-side sets methods/],
    [["--senders", "neurons:9"], /this model has layers 0 to 3/],
    [["--senders", "tails"], /expected heads, mlps, embeds or neurons:3/],
    [["--whole-groups"], /whole groups are about keys and values that query heads share/],
    [["--whole-groups", "--receivers", "q:1.5,mlp:3"], /name one, such as the receivers k:3.1/],
    [["--whole-groups", "--method", "atp"], /wholeGroups is an option of exact and naive, not of/],
    [["--receivers", "q3.1"], /receiver "q3.1": expected q:3.1/],
    [
      ["--receivers", "q:3.1", "--method", "activation"],
      /receivers is an option of exact and naive/,
    ],
  ])("identify refuses %j", async (args, message) => {
    expect(await failure(["identify", planted, ...items, ...args], 2)).toMatch(message);
  });
});
