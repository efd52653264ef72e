import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";
import type { ArchSpec } from "./spec.ts";

/** Every family that can be loaded; a new one is a file beside this one and a name here. */
export const architectures: readonly ArchSpec[] = [gpt2, llama];
