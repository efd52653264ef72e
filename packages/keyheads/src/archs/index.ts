import { gemma2 } from "./gemma2.ts";
import { gptNeox } from "./gpt-neox.ts";
import { gpt2 } from "./gpt2.ts";
import { gptj } from "./gptj.ts";
import { llama } from "./llama.ts";
import { mistral } from "./mistral.ts";
import { mixtral } from "./mixtral.ts";
import { olmo2 } from "./olmo2.ts";
import { opt } from "./opt.ts";
import { phi } from "./phi.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import type { ArchSpec } from "./spec.ts";
import { stablelm } from "./stablelm.ts";
import { starcoder2 } from "./starcoder2.ts";

/** Every family that can be loaded; a new one is a file beside this one and a name here. */
export const architectures: readonly ArchSpec[] = [
  gpt2,
  gptj,
  gptNeox,
  opt,
  llama,
  mistral,
  mixtral,
  qwen2,
  qwen3,
  gemma2,
  phi,
  phi3,
  olmo2,
  starcoder2,
  stablelm,
];
