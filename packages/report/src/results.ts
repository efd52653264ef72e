/**
 * The shapes of everything that analyses return and that results.json and `--json` hold.
 * Names of fields are part of the command-line contract (docs/cli.md): add, never rename.
 */
import type { CompareMethodsResult } from "./results-methods.ts";
import type {
  CircuitResult,
  ControlsResult,
  GraphResult,
  TransferResult,
} from "./results-validation.ts";

export const schemaVersion = 1;

export type Interval = readonly [low: number, high: number];
export interface Dropped {
  readonly line: number;
  readonly why: string;
}
export interface ItemCounts {
  readonly used: number;
  readonly dropped: readonly Dropped[];
}
export type EffectName =
  | "logit-difference"
  | "logprob"
  | "logit"
  | "prob"
  | "relative-logit"
  | "ie"
  | "normalised";

export type AblationName = "mean" | "zero" | "resample" | "counterfactual";

/** Effects of queries, or of keys or values, as senders: [layer][head or group]. */
export interface PartEffects {
  readonly effects: readonly (readonly number[])[];
  readonly ci: readonly (readonly Interval[])[];
}
/** What `from` adds to the residual stream as `to` reads it: "embed", "3.1", "mlp 3"; "4.0.q", "logits". */
export interface EdgeEffect {
  readonly from: string;
  readonly to: string;
  readonly effect: number;
  readonly ci: Interval;
}

/** Attribution of every head and MLP. Effects are mean(patched - reference). */
export interface IdentifyResult {
  readonly items: ItemCounts;
  readonly method: string;
  readonly positions: "end" | "all";
  readonly effect: EffectName;
  readonly mlpPath: "recompute" | "freeze";
  /** Where paths ended, if not in the logits: q:3.1, k:4.0, mlp:5, resid:7. */
  readonly receivers?: readonly string[];
  /** Mean of the metric on X_r and on X_c. */
  readonly reference: number;
  readonly counterfactual: number;
  /** counterfactual - reference */
  readonly totalEffect: number;
  readonly heads: readonly (readonly number[])[];
  readonly mlps: readonly number[];
  readonly headCI: readonly (readonly Interval[])[];
  readonly mlpCI: readonly Interval[];
  /** heads / totalEffect: ratio of means. */
  readonly headShares: readonly (readonly number[])[];
  readonly mlpShares: readonly number[];
  readonly keyHeads: readonly string[];
  readonly keyMlps: readonly number[];
  /** Of X_r: share answered correctly; of X_c: share that still gives C, mean P(C). */
  readonly validity: {
    readonly referenceAccuracy: number;
    readonly counterfactualStillC: number;
    readonly counterfactualProbC: number;
    readonly excluded: number;
    /** Pairs left out because X_r was answered wrongly (onlyCorrect). */
    readonly incorrect?: number;
  };
  /** What X_c was. */
  readonly counterfactualKind?: "own" | "random-other" | "self";
  /** All heads, most harmful to C first, whatever sign the effect gives to harm. */
  readonly ranking?: readonly string[];
  /** The paper's measure, which the default threshold of key heads is about. */
  readonly relativeLogit?: {
    readonly heads: readonly (readonly number[])[];
    readonly mlps: readonly number[];
    /** Items left out because the reference logit is too near zero. */
    readonly guarded: number;
  };
  /** atp and atp-star: queries, keys and values as senders. */
  readonly parts?: Readonly<Record<"q" | "k" | "v", PartEffects>>;
  /** eap and eap-ig: the strongest edges, and how many there are in all. */
  readonly edges?: readonly EdgeEffect[];
  readonly edgeCount?: number;
  /** Items of the shown effect whose denominator was too near zero. */
  readonly guarded?: number;
  /** Family-wise p-values, where key heads were asked for by significance. */
  readonly headP?: readonly (readonly number[])[];
  readonly mlpP?: readonly number[];
  /** Units that intervals resample: items that share a cluster are one. */
  readonly clusterCount?: number;
  /** Labelled clusters of the items used: what heads are tested on must have others. */
  readonly clusters?: readonly string[];
  readonly seconds: number;
  readonly loadSeconds?: number;
}

export interface KnockoutPoint {
  readonly k: number;
  /** Which component was added at this k; absent at k = 0. */
  readonly added?: string;
  readonly accuracy: number;
  readonly control?: number;
  /** Fall of the task minus fall of the control, from k = 0. */
  readonly specificDrop?: number;
}
export interface RandomBand {
  readonly k: number;
  readonly mean: number;
  readonly low: number;
  readonly high: number;
  readonly draws: number;
  readonly exhaustive: boolean;
  readonly controlMean?: number;
  /** Share of the random sets that leave no more accuracy than the chosen set of this size. */
  readonly atMost?: number;
  /** Specific drop of the random sets, and the share of them whose drop is at least the chosen's. */
  readonly specificDrop?: RoleShare & { readonly atLeast: number };
}
export interface KnockoutResult {
  readonly items: ItemCounts;
  readonly ablation: AblationName;
  readonly positions: "end" | "all";
  readonly meanOver: string;
  readonly controlMeanOver?: string;
  readonly curve: readonly KnockoutPoint[];
  readonly random: readonly RandomBand[];
  readonly seconds: number;
}
/** Every set of at most `size` heads. Specific drop: fall on the task minus fall on the control. */
export interface SubsetResult {
  readonly ablation: AblationName;
  readonly baseline: { readonly accuracy: number; readonly control?: number };
  readonly sets: readonly {
    readonly heads: readonly string[];
    readonly accuracy: number;
    readonly control?: number;
    readonly specificDrop?: number;
  }[];
}

export interface RoleShare {
  readonly mean: number;
  readonly low: number;
  readonly high: number;
}
export interface AttendResult {
  readonly items: ItemCounts;
  readonly heads: readonly {
    readonly head: string;
    readonly roles: Readonly<Record<string, RoleShare>>;
    /** Share of the position(s) of the role by the mean of the layer's heads. */
    readonly positional: Readonly<Record<string, number>>;
    /** The head's share minus that, item by item. */
    readonly excess?: Readonly<Record<string, RoleShare>>;
    /** Attention weighted by the norm of value times W_O. */
    readonly valueWeighted: Readonly<Record<string, number>>;
    readonly type: string;
  }[];
  readonly seconds: number;
}

export interface LensLayer {
  readonly layer: number;
  /** Mean rank of the answer, 1 is the top; from resid_post through the final norm and unembedding. */
  readonly answerRank: number;
  readonly answerProb: number;
  readonly topTokens: readonly { readonly token: string; readonly share: number }[];
  /** Centred cosines with unembedding rows of operand 1 (A), operand 2 (B) and the answer (C). */
  readonly mlpIn: LensCosines;
  readonly mlpOut: LensCosines;
  readonly mlpDelta: LensCosines;
  /** Direct logit attribution to the answer of attention and MLP of this layer. */
  readonly attnLogit: number;
  readonly mlpLogit: number;
}
export interface LensCosines {
  readonly A: number | null;
  readonly B: number | null;
  readonly C: number;
  /** The same with random other rows. */
  readonly baseline: number;
}
export interface LensResult {
  readonly items: ItemCounts;
  readonly layers: readonly LensLayer[];
  /** By the written algorithm of docs/method.md; null where the curve has none. */
  readonly mlpPhases: {
    readonly start: number | null;
    readonly inflection: number | null;
    readonly end: number | null;
  };
  readonly seconds: number;
}

export interface EvalResult {
  readonly items: ItemCounts;
  readonly mode: "teacher" | "generate" | "choice";
  readonly n: number;
  readonly accuracy: number;
  readonly ci: Interval;
  readonly logprob: number;
  readonly logprobCI: Interval;
  readonly paired?: {
    readonly baseline: number;
    readonly difference: number;
    readonly ci: Interval;
    /** Exact McNemar, two-sided. */
    readonly p: number;
    readonly fixed: number;
    readonly broken: number;
  };
  readonly seconds: number;
}

export interface IsolationReport {
  /** Slices hashed before and after. */
  readonly checked: number;
  readonly changedTensors: readonly string[];
  readonly unselectedChanged: number;
  /** One hash over the hashes of all unselected slices; equal if and only if none changed. */
  readonly unselectedHash?: { readonly before: string; readonly after: string };
  readonly tensors?: readonly TensorIsolation[];
}
/** One tensor of the files, before and after. */
export interface TensorIsolation {
  readonly tensor: string;
  /** Slices that were not selected, and one hash over theirs; null where all of it was selected. */
  readonly unselected: number;
  readonly before: string | null;
  readonly after: string | null;
  /** Selected slices that changed, as in "wq 2.1". */
  readonly trained: readonly string[];
}
export interface TuneResult {
  readonly method: "precise" | "full" | "random" | "lora" | "offsets";
  readonly heads: readonly string[];
  readonly mlps: readonly number[];
  readonly trainedParameters: number;
  readonly totalParameters: number;
  readonly steps: number;
  readonly loss: readonly number[];
  /** Loss in nats a token and accuracy on validation items, during training. */
  readonly validation?: readonly {
    readonly step: number;
    readonly loss: number;
    readonly accuracy: number;
  }[];
  /** The update whose weights were kept, where validation could end the run early. */
  readonly bestStep?: number;
  /** Of the updates of this session alone, without evaluations. */
  readonly secondsPerStep?: number;
  readonly isolation: IsolationReport;
  readonly out?: string;
  readonly seconds: number;
}

/** One column of the before/after table. */
export interface ClassAccuracy {
  readonly name: string;
  readonly title: string;
  readonly n: number;
  readonly accuracy: number;
  readonly ci?: Interval;
  /** Items of the population that the class stands for, where `n` is a sample; else `n`. */
  readonly weight?: number;
}
/** One tuning method of the comparison at matched gain. */
export interface TunedMethod {
  readonly name: string;
  readonly title: string;
  readonly kind: "key" | "random" | "lowest" | "mlp" | "full";
  readonly heads: readonly string[];
  readonly mlps: readonly number[];
  readonly replay: boolean;
  readonly seed: number;
  readonly lr: number;
  readonly trainedParameters: number;
  /** Updates until the gain was reached on the dev split; null if never. */
  readonly updates: number | null;
  readonly gain: number;
  /** Percentage points lost on everything else, positive is worse. */
  readonly collateral: number;
  readonly after: readonly ClassAccuracy[];
}
export interface TuningComparison {
  readonly target: string;
  readonly matchedGain: number;
  readonly before: readonly ClassAccuracy[];
  readonly methods: readonly TunedMethod[];
  readonly verdict: {
    readonly supported: boolean;
    readonly text: string;
    /** Where the key heads stand among the layer-matched random draws, 0..1, lower is better. */
    readonly updatesPercentile: number | null;
    readonly collateralPercentile: number | null;
  };
  /** Counts are of all methods together; hashes are those of the key heads, with replay if that ran. */
  readonly isolation: IsolationReport;
}

export interface Claim {
  readonly claim: string;
  readonly source: string;
  readonly verdict: "supported" | "not supported" | "not testable here";
  readonly evidence: string;
}

/** One question asked of one set of items. */
export interface Experiment {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly control?: string;
  /** Path patching to the logits at END, on the items that the model answers correctly. */
  readonly direct: IdentifyResult;
  /** The same on all items. */
  readonly directOnAll?: IdentifyResult;
  readonly totalEnd?: IdentifyResult;
  readonly totalAll?: IdentifyResult;
  /** The same path patching with another prompt of the set as counterfactual. */
  readonly randomCounterfactual?: IdentifyResult;
  readonly knockout?: KnockoutResult;
  readonly subsets?: SubsetResult;
  readonly attention?: AttendResult;
  readonly lens?: LensResult;
  readonly circuit?: CircuitResult;
  /** The strongest edges between heads and MLPs, drawn as a graph. */
  readonly graph?: GraphResult;
  /** Path patching into inputs of the strongest heads, one result an input. */
  readonly paths?: readonly IdentifyResult[];
  /** Approximations beside their exact answers. */
  readonly methods?: CompareMethodsResult;
  /** Path patching where it must find nothing. */
  readonly controls?: ControlsResult;
  /** What these items did not allow, and why. */
  readonly notes?: readonly string[];
}

export interface WorkedExample {
  readonly title: string;
  readonly tokens: readonly { readonly text: string; readonly role?: string }[];
  readonly counterfactual?: readonly string[];
  readonly answer: string;
  readonly counterfactualAnswer?: string;
  /** Top answers before, with the key heads removed, and after tuning. */
  readonly predictions: readonly {
    readonly state: string;
    readonly top: readonly { readonly token: string; readonly prob: number }[];
  }[];
  /** Attention of END over the tokens, for the key heads. */
  readonly attention?: readonly { readonly head: string; readonly weights: readonly number[] }[];
}

/** results.json of `keyheads run`. */
export interface RunResult {
  readonly schemaVersion: number;
  readonly keyheads: string;
  readonly created: string;
  readonly model: {
    readonly name: string;
    readonly architecture: string;
    readonly layers: number;
    readonly heads: number;
    readonly kvHeads: number;
    readonly dModel: number;
    readonly parameters: number;
    readonly origin?: string;
    readonly licence?: string;
  };
  readonly device: string;
  /** Products of floats may have been rounded to TF32. */
  readonly tf32?: boolean;
  readonly dtype: string;
  readonly seed: number;
  readonly task: {
    readonly title: string;
    readonly summary: string;
    readonly promptForm: string;
    readonly notes: readonly string[];
  };
  readonly experiments: readonly Experiment[];
  readonly evaluation: {
    readonly before: readonly ClassAccuracy[];
    readonly after: readonly ClassAccuracy[];
    /** What `after` is: which heads were trained, how. */
    readonly description: string;
  };
  readonly tuning?: TuningComparison;
  /** Key heads across the tasks of the run. */
  readonly transfer?: TransferResult;
  readonly example?: WorkedExample;
  readonly claims: readonly Claim[];
  readonly seconds: number;
  readonly timings: Readonly<Record<string, number>>;
  readonly peakBytes: number;
}
