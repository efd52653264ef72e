// Greedy decoding of answers: the model writes as many tokens as the answer has, from the prompt
// alone, and all must be equal. Items of one answer length are decoded together.
import type { Model } from "../model.ts";
import type { ReadOptions } from "./accuracy.ts";
import type { AnsweredItem } from "./answers.ts";

/** 1 for every item whose answer greedy decoding writes. */
export async function decodeAnswers(
  model: Pick<Model, "generateMany">,
  items: readonly AnsweredItem[],
  options: ReadOptions = {},
): Promise<Uint8Array> {
  const { batchTokens = 8192, signal, onProgress } = options;
  const correct = new Uint8Array(items.length);
  let done = 0;
  for (const batch of batches(items, batchTokens)) {
    const { maxTokens, indices } = batch;
    const prompts = indices.map((index) => (items[index] as AnsweredItem).promptIds);
    const written = await model.generateMany(prompts, { maxTokens, ...(signal && { signal }) });
    indices.forEach((index, i) => {
      const { answerIds } = items[index] as AnsweredItem;
      correct[index] = answerIds.every((id, at) => written[i]?.[at] === id) ? 1 : 0;
    });
    done += indices.length;
    onProgress?.(done, items.length);
  }
  return correct;
}

/** Items of equal answer length, with at most `batchTokens` tokens when they are complete. */
function* batches(items: readonly AnsweredItem[], batchTokens: number) {
  const byLength = new Map<number, number[]>();
  items.forEach(({ answerIds }, index) => {
    const same = byLength.get(answerIds.length) ?? [];
    same.push(index);
    byLength.set(answerIds.length, same);
  });
  for (const [maxTokens, all] of byLength) {
    let indices: number[] = [];
    let tokens = 0;
    for (const index of all) {
      const length = (items[index] as AnsweredItem).promptIds.length + maxTokens;
      if (indices.length > 0 && tokens + length > batchTokens) {
        yield { maxTokens, indices };
        indices = [];
        tokens = 0;
      }
      indices.push(index);
      tokens += length;
    }
    yield { maxTokens, indices };
  }
}
