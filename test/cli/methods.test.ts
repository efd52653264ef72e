import { join } from "node:path";
import { expect, test } from "vitest";
import { failure, json, keyheads, scratch } from "./keyheads.ts";

test("ground-truth writes models that identify and compare-methods read", async () => {
  const out = scratch();
  const folder = join(out, "induction");
  const written = await json([
    "ground-truth",
    "induction",
    "--layers",
    "2",
    "--count",
    "6",
    "--out",
    out,
  ]);
  const [model] = written.models as [
    { folder: string; circuit: { edges: { from: string; to: string }[] } },
  ];
  expect(model.folder).toBe(folder);
  const items = ["--items", join(folder, "items.jsonl")];
  const eap = await json(["identify", folder, ...items, "--method", "eap-ig", "--edges", "3"]);
  const names = (edges: readonly { from: string; to: string }[]) =>
    edges.map(({ from, to }) => `${from} -> ${to}`).sort();
  expect(names(eap.edges as { from: string; to: string }[])).toEqual(names(model.circuit.edges));
  expect(eap).toMatchObject({ method: "eap-ig", positions: "all" });
  const compared = await keyheads(
    "compare-methods",
    folder,
    ...items,
    "--draws",
    "5",
    "--top",
    "2",
  );
  expect(compared, compared.stderr).toMatchObject({ code: 0 });
  for (const name of ["activation, END", "path patching", "edges", "direct-gradient", "relp"]) {
    expect(compared.stdout).toContain(name);
  }
  expect(await failure(["ground-truth", "--out", out], 2)).toMatch(/exists/);
  expect(await failure(["ground-truth", "inductoin", "--out", out], 2)).toMatch(
    /no case "inductoin"; there are copy, /,
  );
});
