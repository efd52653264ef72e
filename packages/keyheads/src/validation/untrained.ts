// The same network without what it learnt: matrices drawn anew with the spread they have, norms that
// scale by one, no biases. Whatever an analysis finds in it was made by the analysis.

import { dot } from "../analysis/end-direction.ts";
import { slotShape } from "../load/slots.ts";
import type { CallOptions, Model } from "../model.ts";
import { Model as Models } from "../model.ts";
import { type Rng, rng } from "../statistics/rng.ts";

/** A second model with random weights; dispose of it. Its memory is that of the model. */
export async function untrained(model: Model, seed: number, call: CallOptions): Promise<Model> {
  const { folder, dtype, spec, files } = model;
  const copy = await Models.load(folder, { dtype, ...(call.signal && { signal: call.signal }) });
  try {
    const random = rng(seed);
    const done = new Set<string>();
    for (const { slot, layer, expert } of files.slots) {
      const key = `${slot} ${layer} ${expert}`;
      if (done.has(key)) continue;
      done.add(key);
      const ref = { slot, layer, ...(expert !== undefined && { expert }) };
      const values = await copy.readWeight(ref, call);
      const [, columns] = slotShape(slot, spec);
      if (columns !== undefined) redraw(values, random);
      else values.fill(/norm/i.test(slot) && !/bias/i.test(slot) && !spec.normPlusOne ? 1 : 0);
      await copy.writeWeight(ref, values, call);
    }
    return copy;
  } catch (error) {
    copy.dispose();
    throw error;
  }
}

/** Normal numbers with the mean square of the old ones (Box and Muller's polar form). */
function redraw(values: Float32Array | Float64Array, random: Rng): void {
  const spread = Math.sqrt(dot(values, values) / values.length);
  for (let i = 0; i < values.length; i += 2) {
    const radius = spread * Math.sqrt(-2 * Math.log(1 - random.next()));
    const angle = 2 * Math.PI * random.next();
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}
