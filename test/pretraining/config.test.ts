import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readPretrainConfig } from "../../packages/keyheads/src/pretraining/config.ts";
import { pretrain } from "../../packages/keyheads/src/pretraining/pretrain.ts";
import { warmStableDecay } from "../../packages/keyheads/src/tuning/schedule.ts";
import { tinyConfig as tiny } from "./tiny-config.ts";

function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), "keyheads-pretraining-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

test.each([
  ["a field that it does not know", { ...tiny, colour: 1 }, /colour/],
  ["a field of a wrong type", { ...tiny, steps: "many" }, /steps/],
  ["shares that do not add to 1", { ...tiny, mixture: { ...tiny.mixture, text: 1 } }, /add to 2/],
  ["a card that does not exist", { ...tiny, card: "arithh" }, /"arithh"; there is arith/],
  [
    "a text that is not there",
    { ...tiny, texts: [{ file: "no.txt", heldOutFrom: "all" }] },
    /cannot read the text .*no\.txt/,
  ],
  [
    "too small a vocabulary",
    { ...tiny, tokenizer: { ...tiny.tokenizer, vocabulary: 1000 } },
    /1248/,
  ],
  [
    "a batch that does not fit the context",
    { ...tiny, batch: { ...tiny.batch, length: 65 } },
    /batch\.length is 65/,
  ],
  ["nothing to resume", tiny, /nothing to resume/],
])("refuses %s", async (name, content, message) => {
  const folder = scratch();
  const file = join(folder, "config.json");
  writeFileSync(file, JSON.stringify(content));
  const run = async () =>
    await pretrain(await readPretrainConfig(file), {
      folder: join(folder, "run"),
      resume: name === "nothing to resume",
    });
  await expect(run()).rejects.toThrow(message);
});

test("refuses a file that is not there", async () => {
  await expect(readPretrainConfig("no.json")).rejects.toThrow(/no\.json/);
});

test("the learning rate rises, stays and falls to zero behind the last update", () => {
  const factors = Array.from({ length: 10 }, (_, step) =>
    warmStableDecay(step, 10, { warmup: 2, decayFrom: 0.6 }),
  );
  expect(factors).toEqual([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25]);
});
