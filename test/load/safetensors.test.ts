import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import {
  openSafetensors,
  readTensor,
  readTensorBytes,
} from "../../packages/keyheads/src/load/safetensors.ts";
import { writeSafetensors } from "../../packages/keyheads/src/load/write-safetensors.ts";

const folder = mkdtempSync(join(tmpdir(), "keyheads-safetensors-"));
afterAll(() => rmSync(folder, { recursive: true }));

let files = 0;
/** A file from a header and a number of data bytes. */
function file(header: unknown, dataBytes: number): string {
  const path = join(folder, `${++files}.safetensors`);
  const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(path, Buffer.concat([length, json, Buffer.alloc(dataBytes)]));
  return path;
}
const tensor = (
  begin: number,
  end: number,
  dtype = "F32",
  shape: unknown = [(end - begin) / 4],
) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

describe("openSafetensors", () => {
  it("lists tensors in the order of their bytes", async () => {
    const path = file({ b: tensor(4, 12), a: tensor(0, 4), __metadata__: { format: "pt" } }, 12);
    const { tensors, metadata } = await openSafetensors(path);
    expect(metadata).toEqual({ format: "pt" });
    expect(tensors.map(({ name, shape }) => [name, shape])).toEqual([
      ["a", [1]],
      ["b", [2]],
    ]);
    expect((tensors[1]?.offset ?? 0) - (tensors[0]?.offset ?? 0)).toBe(4);
  });

  it.each([
    ["a missing file", () => join(folder, "none"), /cannot open .*none/],
    [
      "a truncated file",
      () => file({ a: tensor(0, 8) }, 4),
      /truncated: tensor "a" ends at byte \d+/,
    ],
    ["trailing bytes", () => file({ a: tensor(0, 4) }, 8), /has 4 bytes after its last tensor/],
    ["overlap", () => file({ a: tensor(0, 8), b: tensor(4, 8) }, 8), /"b" overlaps/],
    ["a hole", () => file({ a: tensor(0, 4), b: tensor(8, 12) }, 12), /"b" leaves a hole/],
    [
      "an unknown dtype",
      () => file({ a: tensor(0, 4, "F8") }, 4),
      /"a" has dtype "F8"; known: F64/,
    ],
    [
      "a shape that does not fit",
      () => file({ a: tensor(0, 8, "F32", [3]) }, 8),
      /"a" takes 8 bytes; F32 of shape \[3\] takes 12/,
    ],
    ["a negative shape", () => file({ a: tensor(0, 4, "F32", [-1]) }, 4), /"a" has shape \[-1\]/],
    [
      "offsets that are no numbers",
      () => file({ a: { ...tensor(0, 4), data_offsets: ["0", 4] } }, 4),
      /data_offsets/,
    ],
    [
      "a name listed twice",
      () => {
        const entry = JSON.stringify(tensor(0, 4));
        return file(`{"a\\"x": ${entry}, "a\\"x": ${entry}}`, 4);
      },
      /lists the tensor "a"x" twice/,
    ],
    ["a header that is not JSON", () => file("{", 0), /not JSON/],
    ["a header that is a list", () => file("[]", 0), /not a JSON object/],
  ])("refuses %s", async (_, make, message) => {
    await expect(openSafetensors(make())).rejects.toThrow(
      expect.objectContaining({ code: "BAD_CHECKPOINT", message: expect.stringMatching(message) }),
    );
  });

  it("refuses a header that is longer than the file", async () => {
    const path = join(folder, "long.safetensors");
    writeFileSync(path, Buffer.from([255, 255, 255, 255, 0, 0, 0, 0, 123]));
    await expect(openSafetensors(path)).rejects.toThrow(/4294967295 bytes, but the file has 9/);
    writeFileSync(path, Buffer.from([1, 2]));
    await expect(openSafetensors(path)).rejects.toThrow(/has 2 bytes/);
  });
});

describe("readTensor", () => {
  it("widens every number type exactly", async () => {
    const path = join(folder, "types.safetensors");
    const of = (
      dtype: "BF16" | "F16" | "F32" | "F64" | "I64" | "U8",
      data: ArrayBufferView,
      n: number,
    ) => ({
      name: dtype,
      dtype,
      shape: [n],
      data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
    });
    await writeSafetensors(path, [
      of("BF16", Uint16Array.of(0x3f80, 0xc0a0), 2),
      of("F16", Uint16Array.of(0x3c00, 0xc100, 0x0001, 0x7c00), 4),
      of("F32", Float32Array.of(0.1, -2), 2),
      of("F64", Float64Array.of(0.1), 1),
      of("I64", BigInt64Array.of(-100n, 7n), 2),
      of("U8", Uint8Array.of(255), 1),
    ]);
    const { tensors } = await openSafetensors(path);
    const values = await Promise.all(tensors.map(async (t) => [...(await readTensor(t))]));
    expect(values).toEqual([
      [1, -5],
      [1, -2.5, 2 ** -24, Number.POSITIVE_INFINITY],
      [Math.fround(0.1), -2],
      [0.1],
      [-100, 7],
      [255],
    ]);
  });
  it("refuses integers that no double holds", async () => {
    const path = join(folder, "big.safetensors");
    const data = new Uint8Array(BigInt64Array.of(2n ** 60n).buffer);
    await writeSafetensors(path, [{ name: "x", dtype: "I64", shape: [1], data }]);
    const { tensors } = await openSafetensors(path);
    await expect(readTensor(tensors[0] as never)).rejects.toThrow(/beyond 2\^53/);
  });
  it("reads the fixtures", async () => {
    const path = fileURLToPath(new URL("../fixtures/gpt2/golden.safetensors", import.meta.url));
    const { tensors } = await openSafetensors(path);
    const byName = new Map(tensors.map((t) => [t.name, t]));
    const read = async (name: string) => await readTensor(byName.get(name) as never);
    expect([...(await read("input_ids"))].slice(0, 3)).toEqual([70, 10, 80]);
    const [f32, f64, bf16] = [
      await read("logits"),
      await read("logits_f64"),
      await read("logits_bf16"),
    ];
    const worst = (x: Float64Array) => Math.max(...x.map((v, i) => Math.abs(v - (f64[i] ?? 0))));
    expect(worst(f32)).toBeLessThan(1e-5);
    expect(worst(bf16)).toBeLessThan(0.2);
  });
});

describe("writeSafetensors", () => {
  const data = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);

  it("writes what openSafetensors reads, from bytes or pieces", async () => {
    const path = join(folder, "out.safetensors");
    function* pieces() {
      yield data.subarray(0, 3);
      yield data.subarray(3);
    }
    await writeSafetensors(
      path,
      [
        { name: "a", dtype: "F32", shape: [2], data },
        { name: "b", dtype: "F32", shape: [2, 1], data: pieces },
        { name: "empty", dtype: "F32", shape: [0], data: new Uint8Array() },
      ],
      { format: "pt", by: "test" },
    );
    const opened = await openSafetensors(path);
    expect(opened.metadata).toEqual({ format: "pt", by: "test" });
    const [a, b] = opened.tensors.filter((t) => t.bytes > 0);
    expect(await readTensorBytes(a as never)).toEqual(data);
    expect(await readTensorBytes(b as never)).toEqual(data);
    expect((a?.offset ?? 1) % 8).toBe(0);
  });
  it("leaves the old file and no partial one when it fails", async () => {
    const place = mkdtempSync(join(folder, "atomic-"));
    const path = join(place, "model.safetensors");
    await writeSafetensors(path, [{ name: "a", dtype: "F32", shape: [2], data }]);
    const broken = () => {
      throw new Error("disk on fire");
    };
    await expect(
      writeSafetensors(path, [{ name: "b", dtype: "F32", shape: [2], data: broken }]),
    ).rejects.toThrow(expect.objectContaining({ code: "WRITE_FAILED" }));
    await expect(
      writeSafetensors(path, [{ name: "b", dtype: "F32", shape: [3], data }]),
    ).rejects.toThrow(/"b" was given 8 bytes; its shape takes 12/);
    expect(readdirSync(place)).toEqual(["model.safetensors"]);
    expect((await openSafetensors(path)).tensors[0]?.name).toBe("a");
    await expect(writeSafetensors(join(folder, "no/such/folder/x"), [])).rejects.toThrow(
      expect.objectContaining({ code: "WRITE_FAILED" }),
    );
  });
});
