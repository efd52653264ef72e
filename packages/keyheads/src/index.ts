// The library. Every analysis is a function from a model, items and options to plain data.
export { ActivationCache, CachedActivation, type HookFilter } from "./activation-cache.ts";
export { type AttendOptions, attentionByRole } from "./analysis/attention-by-role.ts";
export { type ContributionsOptions, contributions } from "./analysis/contributions.ts";
export { type HeadCircuitsOptions, headCircuits } from "./analysis/head-circuits.ts";
export { type LensOptions, lens } from "./analysis/lens.ts";
export { type CompareMethodsOptions, compareMethods } from "./attribution/compare-methods.ts";
export type { HeadRef } from "./attribution/component.ts";
export { exactEdgeEffects, type MeanEdge } from "./attribution/edges/identify-edges.ts";
export { identify } from "./attribution/identify.ts";
export type { IdentifyOptions } from "./attribution/options.ts";
export { type PathPatchOptions, pathPatch } from "./attribution/path-patch.ts";
export {
  activationByPosition,
  type ByPosition,
  type ByPositionOptions,
} from "./attribution/paths/by-position.ts";
export {
  type PatchedUnits,
  type PatchUnitsOptions,
  patchUnits,
} from "./attribution/paths/patch-units.ts";
export { parseReceivers, type Receiver } from "./attribution/paths/receivers.ts";
export { type SideBySide, sideBySide } from "./attribution/paths/side-by-side.ts";
export {
  type CircuitEdge,
  type CircuitNode,
  type TracedCircuit,
  type TraceOptions,
  traceCircuit,
} from "./attribution/paths/trace.ts";
export type { Unit } from "./attribution/paths/unit.ts";
export type { CallOptions } from "./engine.ts";
export { type ErrorCode, KeyheadsError } from "./errors.ts";
export { accuracyOf } from "./evaluation/accuracy.ts";
export {
  type AnsweredItem,
  type AnswerSet,
  answersOf,
  fixedAnswers,
} from "./evaluation/answers.ts";
export { compareEvaluations } from "./evaluation/compare.ts";
export { type EvaluateOptions, evaluate, evaluateItems } from "./evaluation/evaluate.ts";
export { evaluateTextFile } from "./evaluation/text.ts";
export type { GenerateOptions, GenerationStep } from "./generate.ts";
export {
  type GroundTruth,
  type GroundTruthOptions,
  groundTruthCases,
  writeGroundTruth,
} from "./ground-truth/make.ts";
export { type HookId, type HookPoint, hooks, listHooks, parseHook } from "./hooks.ts";
export type {
  FunctionHook,
  HookFiring,
  HookFunction,
  Intervention,
} from "./interventions.ts";
export type { CheckpointFiles } from "./load/checkpoint.ts";
export type { SlotSource } from "./load/map-slots.ts";
export { resolveModel } from "./load/resolve-model.ts";
export {
  type BackwardOptions,
  type BackwardOutput,
  type DeviceName,
  type ForwardOptions,
  type ForwardOutput,
  type LayerRange,
  type LoadOptions,
  Model,
  type ReadoutOptions,
  type RunWithCacheOptions,
  type RunWithCacheOutput,
  type RunWithHooksOptions,
  type StridedValue,
  type SweepEdit,
  type SweepOptions,
} from "./model.ts";
export { endRows, pack, type Sequence } from "./packing.ts";
export type { EditValue, HookHandle } from "./persistent-hooks.ts";
export type * from "./results.ts";
export { schemaVersion } from "./results.ts";
export { type RunOptions, runExperiment } from "./run/run-experiment.ts";
export { checkSaved } from "./save/check-saved.ts";
export { applyDelta, type DeltaContent, saveDelta } from "./save/delta.ts";
export { diffCheckpoints } from "./save/diff-checkpoints.ts";
export { mergeAdded, mergeDelta } from "./save/merge.ts";
export { savePeft } from "./save/peft.ts";
export { saveModel } from "./save/save-model.ts";
export type { HookEdit, SiteOptions } from "./sites.ts";
export { rng } from "./statistics/rng.ts";
export { buildTaskItems, taskNames } from "./tasks/build-items.ts";
export {
  type DatasetName,
  type DatasetOptions,
  datasetItems,
  datasetNames,
} from "./tasks/datasets/dataset-items.ts";
export { DigitsAdd } from "./tasks/digits-add.ts";
export {
  type Item,
  type ItemSet,
  itemsFromRaw,
  type RawItem,
  readItems,
  writeItems,
} from "./tasks/items.ts";
export { tasks } from "./tasks/tasks.ts";
export { readTemplates } from "./tasks/templates.ts";
export { TensorView } from "./tensor-view.ts";
export type { ChatMessage, ChatOptions } from "./tokenizer/chat-template.ts";
export { loadTokenizer } from "./tokenizer/load.ts";
export type { TextStream } from "./tokenizer/text-stream.ts";
export type { DecodeOptions, EncodeOptions, Tokenizer } from "./tokenizer/types.ts";
export { type LossOptions, Trainer } from "./trainer.ts";
export type { LoraOptions } from "./tuning/added.ts";
export {
  type ComparedOptions,
  type ComparedRun,
  comparedMethods,
  comparedRuns,
} from "./tuning/compare-methods.ts";
export { type CompareTuningOptions, compareTuning } from "./tuning/compare-tuning.ts";
export { layerMatchedDraws, lowestEffectHeads, topHeads, topMlps } from "./tuning/draws.ts";
export { type GainMethod, gainMethods } from "./tuning/gain-methods.ts";
export { type MatchGainOptions, matchGain } from "./tuning/match-gain.ts";
export { compareAtMatchedGain, type MatchedGainOptions } from "./tuning/matched-gain.ts";
export { type MetricsRow, readMetrics } from "./tuning/metrics.ts";
export type { TuneEvent, TuneOptions } from "./tuning/options.ts";
export { planTuning, type TuningPlan } from "./tuning/plan.ts";
export { readSelection, toSelection } from "./tuning/read-selection.ts";
export {
  parseHeads,
  parseLayers,
  parseMatrices,
  parseMlps,
  type Selection,
  selectSlices,
} from "./tuning/selection.ts";
export { tune } from "./tuning/tune.ts";
export { circuit } from "./validation/circuit.ts";
export { circuitJson, graphShape, parseCircuit, readCircuit } from "./validation/circuit-file.ts";
export { type ControlsOptions, controls } from "./validation/controls.ts";
export { edgeCircuit } from "./validation/edge-circuit.ts";
export {
  type CircuitGraph,
  chosenEdges,
  circuitComponents,
  edgeGraphOf,
  type GraphShape,
  nodeCircuit,
} from "./validation/graph.ts";
export { knockOut } from "./validation/knock-out.ts";
export { negativeControl } from "./validation/negative-control.ts";
export type {
  AblationOptions,
  CircuitOptions,
  EdgeCircuitOptions,
  KnockOutOptions,
  SubsetsOptions,
} from "./validation/options.ts";
export { type RobustnessOptions, robustness } from "./validation/robustness.ts";
export { subsets } from "./validation/subsets.ts";
export { type TransferEntry, type TransferOptions, transfer } from "./validation/transfer.ts";
export {
  type VerifyGroup,
  type VerifyOptions,
  type VerifyResult,
  verify,
} from "./verify/verify.ts";
