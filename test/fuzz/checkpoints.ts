// Damaged model folders: each must load and run, or be refused with a code; never crash, hang, or
// take memory that its files do not have.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { KeyheadsError } from "../../packages/keyheads/src/errors.ts";
import { Model } from "../../packages/keyheads/src/model.ts";
import { type Rng, rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { type Json, mutateBytes, mutateJson, strange } from "./mutate.ts";

type Files = Map<string, Buffer>;

const names = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

/** The files of a fixture, read once. */
export function filesOf(fixture: string): Files {
  const folder = fileURLToPath(new URL(`../fixtures/${fixture}`, import.meta.url));
  const present = names.filter((name) => existsSync(join(folder, name)));
  return new Map(present.map((name) => [name, readFileSync(join(folder, name))]));
}

/** What was done, and the damaged files. */
export function damage(files: Files, seed: number): { what: string; files: Files } {
  const random = rng(seed);
  const kinds = Object.keys(damages).filter(
    (kind) => kind !== "tokenizer" || files.has("tokenizer.json"),
  ) as (keyof typeof damages)[];
  const kind = kinds[random.int(kinds.length)] as keyof typeof damages;
  const copy = new Map(files);
  damages[kind](copy, random);
  return { what: kind, files: copy };
}

const parse = (files: Files, name: string) =>
  JSON.parse((files.get(name) as Buffer).toString("utf8")) as Json;
const put = (files: Files, name: string, json: Json) =>
  files.set(name, Buffer.from(JSON.stringify(json)));

function mutated(json: Json, random: Rng): Json {
  let result = json;
  for (let i = random.int(3); i >= 0; --i) result = mutateJson(result, random);
  return result;
}

/** Header and data of a safetensors file. */
function splitTensors(file: Buffer) {
  const length = Number(file.readBigUInt64LE());
  const header = JSON.parse(file.subarray(8, 8 + length).toString("utf8")) as { [k: string]: Json };
  return { header, data: file.subarray(8 + length), length };
}

function joinTensors(text: string, data: Buffer, length?: bigint): Buffer {
  const header = Buffer.from(text);
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(length ?? BigInt(header.length));
  return Buffer.concat([start, header, data]);
}

const weights = "model.safetensors";
const damages = {
  config: (files: Files, random: Rng) =>
    put(files, "config.json", mutated(parse(files, "config.json"), random)),
  "bytes of config": (files: Files, random: Rng) =>
    files.set("config.json", mutateBytes(files.get("config.json") as Buffer, random)),
  header: (files: Files, random: Rng) => {
    const { header, data } = splitTensors(files.get(weights) as Buffer);
    files.set(weights, joinTensors(JSON.stringify(mutated(header, random)), data));
  },
  "one tensor": (files: Files, random: Rng) => {
    const { header, data } = splitTensors(files.get(weights) as Buffer);
    const all = Object.keys(header);
    const name = all[random.int(all.length)] as string;
    const field = ["dtype", "shape", "data_offsets"][random.int(3)] as string;
    const old = header[name] as { [k: string]: Json };
    const value = random.int(3) === 0 ? strange(random) : mutateJson(old[field] as Json, random);
    header[name] = { ...old, [field]: value };
    files.set(weights, joinTensors(JSON.stringify(header), data));
  },
  "offsets of another tensor": (files: Files, random: Rng) => {
    const { header, data } = splitTensors(files.get(weights) as Buffer);
    const all = Object.keys(header).filter((name) => name !== "__metadata__");
    const [a, b] = random.sample(all, 2) as [string, string];
    header[a] = {
      ...(header[a] as object),
      data_offsets: (header[b] as { [k: string]: Json }).data_offsets as Json,
    };
    files.set(weights, joinTensors(JSON.stringify(header), data));
  },
  "length of the header": (files: Files, random: Rng) => {
    const { header, data } = splitTensors(files.get(weights) as Buffer);
    const lengths = [0n, 1n, 7n, 99_999_999n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 64n - 1n];
    const length = lengths[random.int(lengths.length)] as bigint;
    files.set(weights, joinTensors(JSON.stringify(header), data, length));
  },
  "deep header": (files: Files, random: Rng) => {
    const { header, data } = splitTensors(files.get(weights) as Buffer);
    const depth = [10, 1000, 200_000][random.int(3)] as number;
    const deep = `${"[".repeat(depth)}${random.int(2) ? "]".repeat(depth) : ""}`;
    const text = JSON.stringify({ ...header, deep: 0 }).replace(/0}$/, `${deep}}`);
    files.set(weights, joinTensors(text, data));
  },
  "deep config": (files: Files, random: Rng) => {
    const config = parse(files, "config.json") as { [k: string]: Json };
    const keys = Object.keys(config);
    const depth = [10, 1000, 200_000][random.int(3)] as number;
    const key = keys[random.int(keys.length)] as string;
    const text = JSON.stringify({ ...config, [key]: 0, last: 0 });
    const deep = `${JSON.stringify(key)}:${"[".repeat(depth)}${"]".repeat(depth)}`;
    const flat = text.replace(`${JSON.stringify(key)}:0`, deep).replace(',"last":0', "");
    files.set("config.json", Buffer.from(flat));
  },
  "bytes of weights": (files: Files, random: Rng) => {
    const file = files.get(weights) as Buffer;
    const { length } = splitTensors(file);
    files.set(weights, mutateBytes(file, random, random.int(2) ? length + 8 : file.length));
  },
  "strange numbers": (files: Files, random: Rng) => {
    const file = Buffer.from(files.get(weights) as Buffer);
    const { length, data } = splitTensors(file);
    const numbers = [Number.NaN, Number.POSITIVE_INFINITY, -3e38, 1e-45];
    for (let i = random.int(5); i >= 0; --i) {
      const at = 8 + length + 4 * random.int(data.length >> 2);
      file.writeFloatLE(numbers[random.int(numbers.length)] as number, at);
    }
    files.set(weights, file);
  },
  index: (files: Files, random: Rng) => {
    const { header } = splitTensors(files.get(weights) as Buffer);
    const all = Object.keys(header).filter((name) => name !== "__metadata__");
    files.set("model-1.safetensors", files.get(weights) as Buffer);
    files.delete(weights);
    const map = Object.fromEntries(all.map((name) => [name, "model-1.safetensors"]));
    put(files, "model.safetensors.index.json", mutated({ weight_map: map }, random));
  },
  tokenizer: (files: Files, random: Rng) => {
    const name = random.int(4) === 0 ? "tokenizer_config.json" : "tokenizer.json";
    if (random.int(4) === 0) files.set(name, mutateBytes(files.get(name) as Buffer, random));
    else put(files, name, mutated(parse(files, name), random));
  },
};

/** Loads and runs a damaged folder. Resolves to the code of the refusal, or "ran". */
export async function runDamaged(files: Files, text = "7*8="): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "keyheads-fuzz-"));
  try {
    for (const [name, bytes] of files) writeFileSync(join(folder, name), bytes);
    using model = await Model.load(folder);
    const { vocab, context } = model.spec;
    const sequences = [[0, 1 % vocab, vocab - 1].slice(0, context), [0]];
    await model.forward({ sequences, readout: { logits: "all", argmax: true } });
    await model.generate([0], { maxTokens: Math.min(2, context) });
    if (model.tokenizer) model.tokenizer.decode(model.tokenizer.encode(text));
    return "ran";
  } catch (error) {
    if (error instanceof KeyheadsError && error.code !== "INTERNAL" && error.message !== "") {
      return error.code;
    }
    throw error;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
