// Weights on their way from files to a device, through pinned memory. Blocks of this size make the
// CPU slow in place of a GPU, so that this is no part of other tests.
import type { FloatArray } from "@keyheads/native";
import { expect, it } from "vitest";
import { Model } from "../../packages/keyheads/src/model.ts";
import { rng } from "../../packages/keyheads/src/statistics/rng.ts";
import { Variants } from "../load/variants.ts";
import { describeOnDevice } from "./on-both.ts";

const bytes = ({ buffer }: FloatArray) => Buffer.from(buffer);

describeOnDevice("loading to a device", () => {
  it("passes what is larger than its buffers, from several files", async () => {
    using variants = new Variants();
    const [vocab, width] = [110_000, 48];
    const random = rng(5);
    const values = Float64Array.from({ length: vocab * width }, () => random.next() - 0.5);
    const embed = {
      name: "model.embed_tokens.weight",
      dtype: "F64",
      shape: [vocab, width],
      data: new Uint8Array(values.buffer),
    } as const;
    const folder = await variants.make("llama", {
      config: { vocab_size: vocab, tie_word_embeddings: true },
      shards: (name) => `${name.length % 3}.safetensors`,
      tensors: (tensors) => [
        embed,
        ...tensors.filter(({ name }) => name !== embed.name && name !== "lm_head.weight"),
      ],
    });
    for (const dtype of ["f32", "bf16"] as const) {
      using there = await Model.load(folder, { dtype, device: "cuda" });
      using here = await Model.load(folder, { dtype });
      for (const slot of [
        { slot: "embed", layer: -1 },
        { slot: "wDown", layer: 1 },
      ] as const) {
        const [a, b] = [await there.readWeight(slot), await here.readWeight(slot)];
        expect(bytes(a).equals(bytes(b)), `${dtype} ${slot.slot}`).toBe(true);
      }
    }
  });
});
