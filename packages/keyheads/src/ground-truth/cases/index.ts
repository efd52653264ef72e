import type { Case } from "../case.ts";
import { backup } from "./backup.ts";
import { cancelling } from "./cancelling.ts";
import { chain } from "./chain.ts";
import { copy } from "./copy.ts";
import { induction } from "./induction.ts";
import { lookup } from "./lookup.ts";
import { pointer, saturated } from "./pointer.ts";
import { twoLookups } from "./two-lookups.ts";

export const cases: readonly Case[] = [
  copy,
  lookup,
  twoLookups,
  induction,
  chain,
  pointer,
  saturated,
  backup,
  cancelling,
];
