// Scores and patterns while a cache is used: per item [heads, query, past + query], with the bits of
// the whole sequence, and writable.
import { loadBinding } from "@keyheads/native";
import { describe, expect, it } from "vitest";
import { type SiteOptions, toSite } from "../../packages/keyheads/src/sites.ts";
import { ids, loadFixture } from "./fixtures.ts";

const binding = loadBinding();
const control = { job: 1e7 };

describe.each(["gpt2", "llama-gqa"] as const)("patterns of %s after cached tokens", (name) => {
  const cuts = [2, 5];
  const lengths = [9, 14];

  it.each(["hook_attn_scores", "hook_pattern"])(
    "%s is that of the whole sequence",
    async (point) => {
      using model = await loadFixture(name);
      const { heads, vocab } = model.spec;
      const site = { hook: `blocks.1.attn.${point}` };
      const whole = lengths.map((n, i) => ids(n, vocab, i));
      const full = await model.forward({ sequences: whole, captures: [site] });
      const cache = await binding.createCache(model.handle, 2, control);
      const run = (sequences: number[][], sites: SiteOptions[]) => {
        const batch = model.pack(sequences);
        const captures = sites.map((site) => toSite(site, model.spec, batch));
        return binding.forward(model.handle, { batch, captures, edits: [], cache }, control);
      };
      await run(
        whole.map((s, i) => s.slice(0, cuts[i])),
        [],
      );
      const rest = await run(
        whole.map((s, i) => s.slice(cuts[i])),
        [site],
      );
      binding.dispose(cache);

      const expected = [];
      let offset = 0;
      for (const [i, n] of lengths.entries()) {
        for (let h = 0; h < heads; h++, offset += n * n) {
          expected.push(
            ...(full.captures[0]?.subarray(offset + (cuts[i] as number) * n, offset + n * n) ?? []),
          );
        }
      }
      expect([...(rest.captures[0] ?? [])]).toEqual(expected);
    },
  );
});
