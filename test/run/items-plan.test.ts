import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { itemsPlan } from "../../packages/keyheads/src/run/items-plan.ts";
import { loadFixture } from "../engine/fixtures.ts";

it("a file whose splits share a cluster is refused", async () => {
  const folder = mkdtempSync(join(tmpdir(), "keyheads-plan-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  using model = await loadFixture("llama-gqa");
  const plan = async (clusterOf: (i: number) => string) => {
    const lines = ["discover", "test", "dev", "discover", "test", "dev"].map((split, i) =>
      JSON.stringify({ prompt_ids: [1, i], answer_id: 7, cluster: clusterOf(i), split }),
    );
    const file = join(folder, "items.jsonl");
    writeFileSync(file, lines.join("\n"));
    return await itemsPlan(model, file, { seed: 0 });
  };
  const apart = await plan((i) => `c${i % 3}`);
  expect(apart.questions[0]?.discover.items).toHaveLength(2);
  await expect(plan((i) => `c${Math.floor(i / 2)}`)).rejects.toThrow(
    /the cluster "c0" \(item 2\) is in discovery and evaluation/,
  );
});
