export type { CallOptions } from "./engine.ts";
export { callNative, type ErrorCode, KeyheadsError } from "./errors.ts";
export type { GenerateOptions } from "./generate.ts";
export { type HookId, type HookPoint, hooks, listHooks, parseHook } from "./hooks.ts";
export type { CheckpointFiles, SlotSource } from "./load/checkpoint.ts";
export { resolveModel } from "./load/resolve-model.ts";
export {
  type BackwardOptions,
  type BackwardOutput,
  type ForwardOptions,
  type ForwardOutput,
  type LoadOptions,
  Model,
  type ReadoutOptions,
  type SweepOptions,
} from "./model.ts";
export { endRows, pack, type Sequence } from "./packing.ts";
export type { HookEdit, SiteOptions } from "./sites.ts";
export type { Tokenizer } from "./tokenizer/types.ts";
export { type LossOptions, Trainer } from "./trainer.ts";
export {
  type VerifyGroup,
  type VerifyOptions,
  type VerifyResult,
  verify,
} from "./verify/verify.ts";
