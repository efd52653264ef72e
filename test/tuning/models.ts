// The small fixture models, and items of random tokens to train them on.
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { AnsweredItem } from "../../packages/keyheads/src/evaluation/answers.ts";
import { slotKey } from "../../packages/keyheads/src/load/slots.ts";
import { type LoadOptions, Model } from "../../packages/keyheads/src/model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";

export const fixture = (name: string) => join(import.meta.dirname, "../fixtures", name);

/** A fixture, loaded for one test. */
export function load(name: string, options: LoadOptions = {}): Promise<Model> {
  return loadFolder(fixture(name), options);
}

/** Any folder, loaded for one test. */
export async function loadFolder(folder: string, options: LoadOptions = {}): Promise<Model> {
  const model = await Model.load(folder, options);
  onTestFinished(() => model.dispose());
  return model;
}

/** A folder for one test. */
export async function scratch(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "keyheads-test-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Ragged items with answers of one to three tokens. */
export function randomItems(count: number, vocab: number, seed = 1): AnsweredItem[] {
  const random = rng(seed);
  const ids = (n: number) => Array.from({ length: n }, () => random.int(vocab));
  return Array.from({ length: count }, (_, i) => ({
    id: String(i),
    line: i + 1,
    promptIds: ids(2 + random.int(5)),
    answerIds: ids(1 + random.int(3)),
  }));
}

/** SHA-256 of every weight, by slot: equal if and only if all bits are. */
export async function weightBits(model: Model): Promise<Record<string, string>> {
  const bits: Record<string, string> = {};
  for (const slot of model.files.slots) {
    const { buffer, byteOffset, byteLength } = await model.readWeight(slot);
    const bytes = new Uint8Array(buffer, byteOffset, byteLength);
    bits[slotKey(slot)] = createHash("sha256").update(bytes).digest("hex");
  }
  return bits;
}
