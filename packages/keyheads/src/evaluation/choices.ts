// Multiple choice: the answer is right if the model gives it a higher log-likelihood than every
// other choice. Log-likelihoods are sums over tokens, not divided by length.
import { KeyheadsError } from "../errors.ts";
import { answerLogprob, type Predictor, type ReadOptions, readAnswers } from "./accuracy.ts";
import { type AnsweredItem, answersOf } from "./answers.ts";
import type { Outcomes } from "./outcomes.ts";

/** An item with other possible answers, as token ids after the prompt. */
export interface ChoiceItem extends AnsweredItem {
  readonly choiceIds?: readonly (readonly number[])[];
}

/** Scores every choice of every item. Throws BAD_ITEMS for an item without a second choice. */
export async function chooseAnswers(
  model: Predictor,
  items: readonly ChoiceItem[],
  options: ReadOptions,
): Promise<Outcomes> {
  const candidates = items.flatMap((item, index) =>
    [item.answerIds, ...otherChoices(item)].map((answerIds, choice) => ({
      ...item,
      index,
      answerIds,
      isAnswer: choice === 0,
    })),
  );
  const correct = new Uint8Array(items.length).fill(1);
  const logprob = new Float64Array(items.length);
  let next = 0;
  const set = answersOf(candidates);
  for await (const read of readAnswers(model, set, { ...options, logprob: true })) {
    for (let i = 0; i < read.stop - read.start; ++i, ++next) {
      const { index, isAnswer } = candidates[next] as (typeof candidates)[number];
      const score = answerLogprob(read, i);
      // The answer comes before the other choices of its item.
      if (isAnswer) logprob[index] = score;
      else if (!(score < (logprob[index] as number))) correct[index] = 0;
    }
  }
  return { correct, logprob };
}

function otherChoices({ id, line, answerIds, choiceIds = [] }: ChoiceItem) {
  const others = choiceIds.filter((choice) => choice.join() !== answerIds.join());
  if (others.length > 0) return others;
  throw new KeyheadsError(
    "BAD_ITEMS",
    `item ${id} (line ${line}) has no choice besides its answer; give "choices" with at least two different texts`,
  );
}
