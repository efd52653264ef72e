/** Results of looking at single heads and neurons. */
import type { ItemCounts, RoleShare } from "./results.ts";

/** What parts add to the answer's logit (above the mean logit) straight through the final norm. */
export interface ContributionsResult {
  readonly items: ItemCounts;
  /** Mean logit of the answer above the mean logit: what all parts and biases add up to. */
  readonly total: number;
  readonly embedding: number;
  /** [layer][head] and [layer]. Attention's and MLPs' output biases are in `biases`. */
  readonly heads: readonly (readonly number[])[];
  readonly mlps: readonly number[];
  readonly biases: number;
  /** Neurons with the largest contribution, either sign, by size. */
  readonly neurons: readonly NeuronContribution[];
  readonly seconds: number;
}
export interface NeuronContribution {
  readonly layer: number;
  readonly neuron: number;
  /** To the answer's logit, over items. */
  readonly logit: RoleShare;
  readonly activation: number;
  /** Tokens whose logits its output weights raise most, and lower most, while it is positive. */
  readonly promotes: readonly string[];
  readonly suppresses: readonly string[];
}

/** What a head's weights read and write. */
export interface HeadCircuitsResult {
  readonly items: ItemCounts;
  /** Distinct tokens of all roles, among which ranks are taken. */
  readonly tokens: number;
  readonly heads: readonly {
    readonly head: string;
    /** Frobenius norms of W_V W_O and W_Q W_K. */
    readonly ovNorm: number;
    readonly qkNorm: number;
    readonly roles: Readonly<Record<string, HeadRole>>;
  }[];
  readonly seconds: number;
}
export interface HeadRole {
  /** Attention score of END to the role, above the mean score of all tokens but the start token. */
  readonly score: RoleShare;
  /** Share of items in which what the head would write from there raises that very token most. */
  readonly copies: RoleShare;
  /** Mean rank of that token; 1 is the top. */
  readonly copyRank: number;
  /** What it would add to the answer's logit if all attention went there. */
  readonly toAnswer: RoleShare;
}
