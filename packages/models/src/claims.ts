/**
 * The claims of Zhang et al., "Interpreting and Improving Large Language Models in Arithmetic
 * Calculation" (ICML 2024, arXiv 2409.01659) that a run can judge. A card lists those that its
 * model cannot test, so that a report never passes over one in silence.
 */
export const paperClaims = [
  {
    id: "sparse-heads",
    claim: "A small fraction of the attention heads has nearly all of the direct effect.",
  },
  {
    id: "heads-necessary",
    claim: "Removing the key heads destroys the calculation; removing random heads does not.",
  },
  {
    id: "heads-specific",
    claim: "Removing the key heads leaves other tasks as they were.",
  },
  {
    id: "attend-operands",
    claim: "The key heads look at the operands.",
  },
  {
    id: "attend-operator",
    claim: "The key heads look at the operator.",
  },
  {
    id: "mlps-deduce",
    claim: "The MLPs after the key heads build the answer up, layer by layer.",
  },
  {
    id: "null-operator",
    claim: "Without an operator in the prompt the same heads stop calculating.",
  },
  {
    id: "shared-operations",
    claim: "Related operations (add and sub, mul and div) share their key heads.",
  },
  {
    id: "transfer-wording",
    claim: "Key heads found on one wording or data set serve others too.",
  },
  {
    id: "tuning-improves",
    claim: "Tuning the key heads alone improves the calculation.",
  },
  {
    id: "tuning-localised",
    claim: "Tuning the key heads does as much as full tuning, and more than tuning other heads.",
  },
  {
    id: "tuning-preserves",
    claim: "Tuning the key heads leaves abilities without arithmetic as they were.",
  },
] as const satisfies readonly PaperClaim[];

export interface PaperClaim {
  readonly id: string;
  readonly claim: string;
}

export type ClaimId = (typeof paperClaims)[number]["id"];
