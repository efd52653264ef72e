/** One entry an item. */
export interface Outcomes {
  /** 1 where the whole answer is right. */
  readonly correct: Uint8Array;
  /** Sum over the answer tokens, teacher-forced, in nats. */
  readonly logprob: Float64Array;
}

/** What evaluation found, item by item. Two of the same items can be compared in pairs. */
export interface EvaluatedItems extends Outcomes {
  readonly mode: EvaluationMode;
  readonly ids: readonly string[];
  /** The unit that is drawn by the bootstrap; an item without one is its own. */
  readonly clusters: readonly string[];
}

/**
 * teacher: every answer token is the argmax given the true ones before it.
 * generate: greedy decoding writes the answer.
 * choice: the answer is likelier than every other choice.
 */
export type EvaluationMode = "teacher" | "generate" | "choice";
