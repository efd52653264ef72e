import type { CudaDevice } from "./cuda.ts";

/**
 * The whole boundary between TypeScript and the engine, as types.
 *
 * One plain object in, one plain object out, numbers in typed arrays. Calls queue on one engine
 * thread and return promises. Sequences are packed without padding: `tokens` of all items one
 * after the other, item i being `tokens[offsets[i] .. offsets[i + 1])`. A "row" is an index into
 * `tokens`. Models of dtype f32 and bf16 take and give Float32Array, those of f64 Float64Array.
 */
export interface Binding {
  readonly schemaHash: string;
  info(): EngineInfo;
  /** Number of compute threads from now on; 0 means all allowed CPUs. */
  setThreads(threads: number): void;
  /** Stops the running or queued call that was given this job number; it rejects with CANCELLED. */
  cancel(job: number): void;

  loadModel(request: LoadRequest, control: Control): Promise<ModelHandle>;
  forward(model: ModelHandle, request: ForwardRequest, control: Control): Promise<ForwardResult>;
  backward(model: ModelHandle, request: BackwardRequest, control: Control): Promise<BackwardResult>;
  sweep(model: ModelHandle, request: SweepRequest, control: Control): Promise<SweepResult>;
  /** Weight of a slot as [rows, columns] = [out, in], whatever the file's layout; vectors as [n]. */
  readWeight(model: ModelHandle, slot: SlotRef<AnySlot>, control: Control): Promise<FloatArray>;
  /** Overwrites a whole weight; the inverse of readWeight. Matrices of bf16 models are rounded. */
  writeWeight(
    model: ModelHandle,
    slot: SlotRef<AnySlot>,
    value: FloatArray,
    control: Control,
  ): Promise<void>;

  /**
   * Adds trainable weights that begin as zero: a rank adds the slots `SLOT.loraA` [rank, in] and
   * `SLOT.loraB` [out, rank] of a layer's matrix, which then acts as W + scale B A; the slot zOffset
   * of a layer is added to z of all heads, [heads * dHead]. They are kept in full precision.
   */
  addWeights(model: ModelHandle, request: AddedWeights, control: Control): Promise<void>;
  /** Takes all added weights away. Trainers of their slices keep them, to no effect. */
  removeWeights(model: ModelHandle, control: Control): Promise<void>;

  /** A key/value cache for `sequences` growing sequences; pass it to forward to continue them. */
  createCache(model: ModelHandle, sequences: number, control: Control): Promise<CacheHandle>;

  createTrainer(
    model: ModelHandle,
    request: TrainerRequest,
    control: Control,
  ): Promise<TrainerHandle>;
  /** Adds the gradient of one weighted loss to the trainer's gradients. */
  accumulate(
    trainer: TrainerHandle,
    request: LossRequest,
    control: Control,
  ): Promise<AccumulateResult>;
  /** Clips, takes one AdamW step on the selected slices, clears the gradients. */
  update(trainer: TrainerHandle, request: UpdateRequest, control: Control): Promise<UpdateResult>;
  /**
   * Gradients, moments and current values of every slice, in the order of the request; for a bf16
   * model the values that its weights are the roundings of.
   */
  readTrainer(trainer: TrainerHandle, control: Control): Promise<TrainerState>;
  writeTrainer(trainer: TrainerHandle, state: TrainerState, control: Control): Promise<void>;

  /** Frees a handle; using it afterwards rejects with DISPOSED. */
  dispose(handle: ModelHandle | CacheHandle | TrainerHandle): void;
  /**
   * Resident weight bytes, bytes of everything else, and the peak of both together since it was last
   * reset, of the whole engine: on the host, or on the device that this model is on.
   */
  memory(resetPeak?: boolean, model?: ModelHandle): MemoryInfo;

  /** The CUDA devices that a CUDA library sees. Rejects with NO_DEVICE where it sees none. */
  devices(library: string, control: Control): Promise<readonly CudaDevice[]>;
}

export type FloatArray = Float32Array | Float64Array;
/**
 * f32 and f64: weights and all that is computed. bf16: matrices are kept as bfloat16, vectors and
 * all that is computed are f32.
 */
export type ModelDtype = "f32" | "bf16" | "f64";
declare const tag: unique symbol;
export type ModelHandle = number & { readonly [tag]: "model" };
export type CacheHandle = number & { readonly [tag]: "cache" };
export type TrainerHandle = number & { readonly [tag]: "trainer" };

export interface Control {
  /** Any number that is unique among live calls; `cancel` takes it. */
  readonly job: number;
  /** Called on the JavaScript thread with work done so far and in all, in units of the call. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Resolves with a MemoryPlan, and computes nothing. Not of update, read and write calls. */
  readonly plan?: boolean;
}

/**
 * What a call needs in memory, counted by running the engine's own code without computing. Not in
 * it: the arrays that JavaScript holds, and kernels' scratch, at most about 20 MB a thread.
 */
export interface MemoryPlan {
  /** Of all loaded models; for a load, with what it would add. */
  readonly weightBytes: number;
  /** In use by caches and trainers. */
  readonly inUseBytes: number;
  /** What the call needs beside these, at its largest. */
  readonly runBytes: number;
  /** Of that, what it hands over in the end: captures, gradients, logits. */
  readonly resultBytes: number;
  /** The sum of weights, of what is in use and of the run. */
  readonly peakBytes: number;
  /** The model's memory budget; 0 is no limit. */
  readonly budget: number;
}

export interface EngineInfo {
  /** The instruction set the kernels were dispatched to. */
  readonly isa: "x86-64-v2" | "x86-64-v3" | "x86-64-v4" | "x86-64-v4-bf16";
  readonly cpu: string;
  readonly gemm: string;
  readonly threads: number;
  readonly napi: number;
  readonly compiler: string;
}

export interface MemoryInfo {
  readonly weightBytes: number;
  readonly bytes: number;
  readonly peakBytes: number;
}

/** What the decoder computes: constants only, no names of model families. */
export interface ModelSpec {
  readonly layers: number;
  readonly dModel: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly dHead: number;
  readonly dMlp: number;
  readonly vocab: number;
  readonly context: number;
  readonly norm: "layer" | "rms";
  readonly normEps: number;
  /** Weights of norms are stored as their difference from 1: gain = 1 + w (Gemma). */
  readonly normPlusOne: boolean;
  /** pre: of what attention and MLP read. post: of what they write. both: one on either side. */
  readonly normPlacement: "pre" | "post" | "both";
  /** sequential: the MLP reads the stream after attention. parallel: both read the block's input. */
  readonly block: "sequential" | "parallel";
  /** The MLP's norm has the weights of attention's (GPT-J): there is no slot mlpNorm. */
  readonly sharedNorm: boolean;
  /** Norm of queries and keys, after their projection and before rotary, always RMS unless norm is
   * "layer": none; head: of each head, one weight [dHead] for all; heads: of each head, with a
   * weight of its own, [heads * dHead]; width: of all heads together, [heads * dHead]. */
  readonly qkNorm: "none" | "head" | "heads" | "width";
  readonly position: "learned" | "rotary";
  /** Row of the position table that belongs to position 0 (OPT: 2). The table has context rows more. */
  readonly positionOffset: number;
  /** Inverse frequencies of the rotated half dimensions; empty with learned positions. */
  readonly inverseFrequencies: Float64Array;
  /** Which of the n rotated dimensions turn together: i and i + n / 2, or 2 i and 2 i + 1. */
  readonly rotaryPairs: "halves" | "adjacent";
  /** Cosines and sines are multiplied by this: 1 unless a scaling of long contexts says otherwise. */
  readonly rotaryScale: number;
  readonly activation: "gelu" | "gelu_new" | "relu" | "silu";
  readonly gated: boolean;
  /** Experts of every MLP, of which each token uses expertsPerToken; 0 and 0: one dense MLP. */
  readonly experts: number;
  readonly expertsPerToken: number;
  /** Scores are multiplied by that of their layer: 1 / sqrt(dHead) in most models. */
  readonly attentionScales: Float64Array;
  /** Scores x, after scaling, become cap tanh(x / cap); 0 is none (Gemma 2). */
  readonly scoreCap: number;
  /** The same for logits. */
  readonly logitCap: number;
  /** Embeddings are multiplied by this (Gemma: sqrt(dModel)). */
  readonly embedScale: number;
  /** Of each layer, how many keys a query sees, itself included; 0 is all. */
  readonly windows: Int32Array;
  /** The output projection is the embedding. */
  readonly tied: boolean;
}

export type ModelSlot =
  | "embed"
  | "posEmbed"
  | "finalNorm"
  | "finalNormBias"
  | "unembed"
  | "unembedBias";
export type LayerSlot =
  | "attnNorm"
  | "attnNormBias"
  | "wq"
  | "wk"
  | "wv"
  | "wo"
  | "bq"
  | "bk"
  | "bv"
  | "bo"
  | "qNorm"
  | "kNorm"
  | "attnPostNorm"
  | "mlpNorm"
  | "mlpNormBias"
  | "mlpPostNorm"
  | "router"
  | "wGate"
  | "wUp"
  | "wDown"
  | "bGate"
  | "bUp"
  | "bDown";
export type MatrixSlot = "wq" | "wk" | "wv" | "wo" | "router" | "wGate" | "wUp" | "wDown";
/** Slots of `addWeights`. */
export type AddedSlot = `${MatrixSlot}.loraA` | `${MatrixSlot}.loraB` | "zOffset";
export type AnySlot = ModelSlot | LayerSlot | AddedSlot;
/** layer is -1 for model slots. */
export interface SlotRef<Slot extends string = ModelSlot | LayerSlot> {
  readonly slot: Slot;
  readonly layer: number;
  /** Of wGate, wUp and wDown in a mixture of experts. */
  readonly expert?: number;
}

/** Where the bytes of one slot are, or of some of its rows: a slot may lie in several tensors. */
export interface TensorSource extends SlotRef {
  /** The rows of the slot that this tensor fills: all but in q/k norms stored head by head. */
  readonly rows: readonly [start: number, stop: number];
  readonly file: string;
  /** Byte offset of the stored tensor in the file. */
  readonly offset: number;
  readonly dtype: "F64" | "F32" | "F16" | "BF16";
  /** Shape of the stored tensor; vectors have one dimension. */
  readonly shape: readonly number[];
  /** The file stores [in, out]. */
  readonly transpose: boolean;
  /**
   * The part of the stored out dimension (after transposing) that belongs to this slot: row
   * rows[0] + n of the slot is stored row start + floor(n / length) * stride + n % length.
   */
  readonly start: number;
  readonly length: number;
  readonly stride: number;
}

/** The device that a model lives and is computed on. */
export interface DeviceRequest {
  /** File of the CUDA library. */
  readonly library: string;
  readonly ordinal: number;
  /** File of cuBLASLt; absent: where systems have it. */
  readonly cublasLt?: string;
  /** Products of float matrices may round what they multiply to TF32; absent: they do not. */
  readonly tf32?: boolean;
}

export interface LoadRequest {
  readonly spec: ModelSpec;
  readonly tensors: readonly TensorSource[];
  /** Not f64 with a device. */
  readonly dtype: ModelDtype;
  /** Absent: the CPU. */
  readonly device?: DeviceRequest;
  /** Bytes, of the device where there is one, beyond which any call on this model rejects
   * with OUT_OF_MEMORY, before it computes; 0 is no limit. */
  readonly memoryBudget: number;
  /** Opens the model without weights: calls on it can be planned, and nothing else. */
  readonly weightless?: boolean;
}

export interface Batch {
  readonly tokens: Int32Array;
  readonly offsets: Int32Array;
}

export interface Site {
  /** hookTable[...].id */
  readonly hook: number;
  /** -1 for hooks of the whole model. */
  readonly layer: number;
  /** -1 is all heads. Heads of keys and values are groups: query head h reads h / (heads / groups). */
  readonly head: number;
  /** Several heads, ascending, instead of `head`. */
  readonly heads?: Int32Array;
  /** Some numbers of every row (and head), ascending: neurons. Not of scores and patterns. */
  readonly columns?: Int32Array;
  /**
   * Packed rows (for scores and patterns: query rows); absent is all.
   * Ascending and without repeats.
   */
  readonly rows?: Int32Array;
}

/**
 * An intervention. The tensor at the site is [rows, heads, width], or [rows, width] where the site
 * has no heads or one head is chosen. Patterns and scores are laid out per item as
 * [heads, query, key]: of the chosen queries, and of every key that the item has, those in the cache
 * included.
 * - zero:  0
 * - set:   value
 * - add:   x + value
 * - scale: factor * x
 * - mean:  the mean over the selected rows of this batch (not for patterns)
 * - interpolate: (1 - factor) * x + factor * value
 * - call: what `call` makes of it
 * value has the size of the selection, or of one row of it (same for every row; not for patterns),
 * or one element.
 */
export interface Edit extends Site {
  readonly op: "zero" | "set" | "add" | "scale" | "mean" | "interpolate" | "call";
  readonly value?: FloatArray;
  readonly factor?: number;
  /**
   * Runs on the JavaScript thread of the caller while the engine thread waits, so other calls wait
   * too. It may write to the values, which are detached when it, or its promise, has ended. Giving
   * true says that every value is replaced. If it throws, the call rejects with HOOK_FAILED.
   * Calls made from inside it reject with ENGINE_BUSY. `first`: no other function of this call was
   * run since the event loop called, so what belongs to the asynchronous context is not set yet.
   */
  readonly call?: (values: FloatArray, first: boolean) => unknown;
  /**
   * Through which entries a gradient goes back. unchanged (the default): those whose bits `call`
   * left as they were, none if it gave true. pass: all, as if it had added a constant.
   */
  readonly gradient?: "unchanged" | "pass";
}

/** Where a run begins instead of with the embeddings. */
export interface Start {
  readonly layer: number;
  /** The residual stream entering that layer, [rows, dModel], as a run that stops there gives it. */
  readonly residual: FloatArray;
}

/** Which logits are given back, computed for the listed rows only. */
export interface Readout {
  readonly rows: Int32Array;
  /**
   * all: [rows, vocab]. tokens: those of `tokens`, [rows, width]. none: only the flags below.
   */
  readonly logits: "all" | "tokens" | "none";
  /** Token ids, rows x width. */
  readonly tokens?: Int32Array;
  readonly argmax?: boolean;
  readonly logsumexp?: boolean;
}

export interface ReadoutResult {
  readonly logits?: FloatArray;
  readonly argmax?: Int32Array;
  readonly logsumexp?: FloatArray;
}

export interface ForwardRequest {
  readonly batch: Batch;
  /** The value that flows on, after edits, at each site. */
  readonly captures: readonly Site[];
  /** Applied in order at each site. */
  readonly edits: readonly Edit[];
  readonly readout?: Readout;
  /** The batch's item i continues sequence i of the cache and is appended to it. */
  readonly cache?: CacheHandle;
  /** Without a cache. Captures and edits of layers that are not computed are errors. */
  readonly start?: Start;
  /** Computes the layers before this one only, and gives the residual stream entering it. */
  readonly stopAtLayer?: number;
}
export interface ForwardResult extends ReadoutResult {
  readonly captures: readonly FloatArray[];
  /** With stopAtLayer: [rows, dModel]. */
  readonly residual?: FloatArray;
}

/**
 * A scalar to differentiate, as data.
 * - cross entropy: sum over r of weights[r] * -log softmax(logits[rows[r]])[targets[r]]
 * - logits:        sum over r, j of weights[r, j] * logits[rows[r], targets[r, j]]
 * - residual:      sum over r, c of weights[r, c] * residual[rows[r], c], with stopAtLayer; no targets
 */
export interface Objective {
  readonly kind: "cross-entropy" | "logits" | "residual";
  readonly rows: Int32Array;
  readonly targets: Int32Array;
  readonly weights: FloatArray;
}

/**
 * A derivative that backward uses in place of the true one; the values of the run stay the same.
 * What is constant passes no gradient on to what it was computed from.
 * - constant-patterns:    attention patterns
 * - constant-norm-scales: the scale of every norm, those of queries and keys included
 * - constant-z:           z of every head
 * - constant-mlps:        what every MLP reads, after its norm
 * - secant-activations:   act(x) counts as x times the constant act(x) / x, and a gated product
 *   gives each factor half of its derivative; the weights of a mixture's experts are constant
 */
export type BackwardRule =
  | "constant-patterns"
  | "constant-norm-scales"
  | "constant-z"
  | "constant-mlps"
  | "secant-activations";

/**
 * Derivatives along given changes of a value, in place of its gradient: of each item the sum, over
 * its rows and their numbers, of gradient times change.
 */
export interface Directions {
  /** [count, rows of the site, numbers of a row and head] */
  readonly values: FloatArray;
  readonly count: number;
}
export interface GradientSite extends Site {
  /** Derivatives along these of the directions, [items, heads, stop - start]. */
  readonly along?: readonly [start: number, stop: number];
}

export interface BackwardRequest {
  readonly batch: Batch;
  readonly captures: readonly Site[];
  readonly edits: readonly Edit[];
  readonly objective: Objective;
  /** Gradient with respect to the value that flows on at each site. */
  readonly gradients: readonly GradientSite[];
  readonly directions?: Directions;
  readonly start?: Start;
  readonly stopAtLayer?: number;
  readonly rules?: readonly BackwardRule[];
}
export interface BackwardResult {
  readonly objective: number;
  /** The objective's term of each row, unweighted; for logits the weighted sum of the row. */
  readonly perRow: FloatArray;
  readonly captures: readonly FloatArray[];
  readonly gradients: readonly FloatArray[];
}

/**
 * Many variants of one base batch, as data: what is edited, what is frozen, what is read. Variant v
 * has the edits members[starts[v]] ... members[starts[v + 1] - 1], in this order. What it gives is
 * what `forward` gives with these edits, behind edits that set what is frozen; only what differs from
 * the base run is computed.
 *
 * freeze "attention": z is held at its value in the base run, at every position; MLPs, norms and the
 * unembedding are recomputed. "attention+mlp": so are the MLPs' neurons (of mixtures: their outputs).
 * "none": everything downstream is recomputed. Edits apply to what is held too, behind it. Edits and
 * captures where freezing leaves nothing to change or to see are errors.
 */
export interface SweepRequest {
  readonly batch: Batch;
  /** What edits take their values from. */
  readonly values: readonly FloatArray[];
  readonly edits: readonly SweepEdit[];
  readonly starts: Int32Array;
  readonly members: Int32Array;
  readonly freeze: "none" | "attention" | "attention+mlp";
  /** Sites to capture in the base run and in every variant. */
  readonly captures?: readonly Site[];
  /** Rows are implied: the last of each item. tokens is items x width. */
  readonly readout: Omit<Readout, "rows">;
  /**
   * Bytes that the base run and the rows of variants may take at a time, beside results and what one
   * item and one variant need at least; 256 MiB.
   */
  readonly workBytes?: number;
}
/** An edit as `forward` takes it, of one variant or of many. */
export interface SweepEdit extends Site {
  readonly op: Exclude<Edit["op"], "call">;
  readonly value?: SweepValue;
  readonly factor?: number;
}
/**
 * Where the numbers of a value are: row r of the selection, head h and column c at
 * values[index][offset + r row + h head + c column]; of patterns entry i at offset + i column.
 */
export interface SweepValue {
  readonly index: number;
  readonly offset: number;
  readonly row: number;
  readonly head: number;
  readonly column: number;
}
export interface SweepReadings extends ReadoutResult {
  /** One a capture site. */
  readonly captures: readonly FloatArray[];
}
export interface SweepResult {
  /** The unedited run: [items, ...], captures [selection]. */
  readonly base: SweepReadings;
  /** [variants, items, ...], captures [variants, selection]. */
  readonly variants: SweepReadings;
}

/** What addWeights adds; `slot` is the matrix that gets factors. */
export type AddedWeights =
  | (SlotRef<MatrixSlot> & { readonly rank: number; readonly scale: number })
  | SlotRef<"zOffset">;

/** Rows and columns of a slot's [out, in] matrix; vectors have columns [0, 1). */
export interface Slice extends SlotRef {
  readonly rows: readonly [start: number, stop: number];
  readonly columns: readonly [start: number, stop: number];
}
/** The same of what addWeights added. */
export interface AddedSlice extends SlotRef<AddedSlot>, Pick<Slice, "rows" | "columns"> {}
export interface TrainerRequest {
  /** Disjoint. Only these have gradients, moments, decay, and change. */
  readonly slices: readonly (Slice | AddedSlice)[];
}
export interface LossRequest {
  readonly batch: Batch;
  readonly objective: Objective;
  readonly edits?: readonly Edit[];
  /** Not above the lowest layer with a slice. */
  readonly start?: Start;
  /**
   * Blocks keep only their input for the backward pass and are computed again in it: less memory,
   * more time, the same bits. Not together with edits.
   */
  readonly recompute?: boolean;
}
export interface AccumulateResult {
  readonly objective: number;
  readonly perRow: FloatArray;
}
export interface UpdateRequest {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Largest allowed norm of all selected gradients together; 0 is no clipping. */
  readonly clip: number;
  /** Gradients are multiplied by this before clipping. */
  readonly gradientScale: number;
}
export interface UpdateResult {
  /** Before clipping. */
  readonly gradientNorm: number;
  readonly step: number;
}
export interface TrainerState {
  readonly step: number;
  readonly gradients: readonly FloatArray[];
  readonly firstMoments: readonly FloatArray[];
  readonly secondMoments: readonly FloatArray[];
  readonly values: readonly FloatArray[];
}

/** `code` of the errors that the engine's promises reject with. */
export type EngineErrorCode =
  | "BAD_ARGUMENT"
  | "BAD_CHECKPOINT"
  | "OUT_OF_MEMORY"
  | "CANCELLED"
  | "DISPOSED"
  | "ENGINE_BUSY"
  | "HOOK_FAILED"
  | "NON_FINITE"
  | "INTERNAL";
