/**
 * The bundled models: where they lie, where they come from, and what can be asked of them.
 * Their folders are plain Hugging Face folders.
 */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TaskCard } from "./card.ts";
import { arith } from "./cards/arith.ts";
import { arithDemo } from "./cards/arith-demo.ts";
import { mathgptAdd3 } from "./cards/mathgpt-add3.ts";
import { stories260k } from "./cards/stories260k.ts";

export type * from "./card.ts";
/** Cards with a training rule, by name. */
export const trainingCards: Readonly<Record<string, TaskCard>> = { arith };

export { type ClaimId, type PaperClaim, paperClaims } from "./claims.ts";
export { type HeldOutKind, type HeldOutRule, heldOutKind } from "./held-out.ts";
export { operations, wordings } from "./wordings.ts";

export interface BundledModel {
  readonly name: string;
  /** Absolute. */
  readonly folder: string;
  readonly title: string;
  readonly licence: string;
  readonly origin: string;
  readonly card: TaskCard;
}

/**
 * Models that the npm package `keyheads` itself contains; the others are in `@keyheads/models`,
 * which a user adds.
 */
export const defaultModels: readonly string[] = ["mathgpt_add3_h4_l4"];

// This file runs from src/, from dist/ and from the dist/ of keyheads; all lie beside models/ and
// texts/.
const here = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url));

/** The folder of @keyheads/models where it is installed beside keyheads, which has its own models. */
function added(): string | undefined {
  try {
    return dirname(createRequire(import.meta.url).resolve("@keyheads/models/package.json"));
  } catch {
    return undefined;
  }
}

/** Where the model lies; if it is not installed, where it would. */
function folder(name: string): string {
  const own = here(`models/${name}`);
  if (defaultModels.includes(name) || existsSync(own)) return own;
  return join(added() ?? here(""), "models", name);
}

/** Absolute path of a card's text. */
export const textFile = (file: string): string => here(`texts/${file}`);

const mathgpt = "RafalLeja/MathGPT @ 887c5b58, src/weights/static";

/** In the order in which they are shown. */
export const bundledModels: readonly BundledModel[] = [
  {
    name: "mathgpt_add3_h4_l4",
    folder: folder("mathgpt_add3_h4_l4"),
    title: "MathGPT, three-digit addition, 4 layers x 4 heads",
    licence: "MIT",
    origin: `${mathgpt}/st_add_4_4_128.pth`,
    card: mathgptAdd3("4 layers x 4 heads", "98.67 % of all million pairs are right"),
  },
  {
    name: "mathgpt_add3_h2_l3",
    folder: folder("mathgpt_add3_h2_l3"),
    title: "MathGPT, three-digit addition, 3 layers x 2 heads",
    licence: "MIT",
    origin: `${mathgpt}/st_add_2_3_128.pth`,
    card: mathgptAdd3("3 layers x 2 heads", "97.9 % of 5,000 random pairs are right"),
  },
  {
    name: "mathgpt_add3_h2_l2",
    folder: folder("mathgpt_add3_h2_l2"),
    title: "MathGPT, three-digit addition, 2 layers x 2 heads",
    licence: "MIT",
    origin: `${mathgpt}/st_add_2_2_128.pth`,
    card: mathgptAdd3("2 layers x 2 heads", "95.4 % of 5,000 random pairs are right"),
  },
  {
    name: "stories260K",
    folder: folder("stories260K"),
    title: "TinyStories, 5 layers x 8 heads on 4 key/value heads",
    licence: "MIT",
    origin: "karpathy/tinyllamas stories260K.bin via DaveBben/esp32-llm",
    card: stories260k,
  },
  {
    name: "arith-demo",
    folder: folder("arith-demo"),
    title: "Arithmetic in words and symbols, 6 layers x 8 heads",
    licence: "MIT",
    origin: "trained for this project on generated arithmetic and public-domain English",
    card: arithDemo,
  },
  {
    name: "arith",
    folder: folder("arith"),
    title: "Arithmetic in words and symbols, 6 layers x 8 heads, trained by keyheads",
    licence: "MIT",
    origin: "keyheads pretrain packages/models/pretraining/arith.json",
    card: arith,
  },
];
