// The paper's claims, each judged by a rule that is written down here and was not chosen by looking
// at a result. What a run cannot judge is said to be not testable, with the reason.
import { type ClaimId, type MissingCard, paperClaims } from "@keyheads/models";
import type { Claim, Experiment, TuningComparison } from "../results.ts";
import { jaccard } from "../statistics/overlap.ts";

const source = "Zhang et al., ICML 2024 (arXiv 2409.01659)";

/** "Sparse": at most this share of the heads has `mostOfEffect` of the summed helpful effect. */
const fewHeads = 0.25;
const mostOfEffect = 0.8;
/** "Necessary": removal costs at least this many points, and more than 95 % of random sets do. */
const leastDrop = 10;
/** "Specific": the control loses at most this share of what the task loses ... */
const specificShare = 0.25;
/** ... and has at least this share of right answers, or there would be nothing to lose. */
const leastControl = 0.1;
/** "Look at": at least half of the attention of END that is not on the start token. */
const mostAttention = 0.5;
/** "MLPs build it up": an MLP at or after the key heads has at least half of the total effect. */
const mostOfMlp = 0.5;
/** "Preserves": at most this many points lost elsewhere. */
const mostLost = 1;

export interface ClaimInputs {
  readonly experiments: readonly Experiment[];
  readonly missing: readonly MissingCard[];
  /** X_c is X_r with a null word in place of the operator. */
  readonly nullOperator: boolean;
  readonly tuning?: TuningComparison;
  /** Why there was no tuning. */
  readonly noTuning?: string;
}

type Judgement = Pick<Claim, "verdict" | "evidence">;
const verdict = (holds: boolean): Claim["verdict"] => (holds ? "supported" : "not supported");
const untestable = (evidence: string): Judgement => ({ verdict: "not testable here", evidence });
const percent = (x: number, digits = 0) => `${(100 * x).toFixed(digits)} %`;

export function judgeClaims(inputs: ClaimInputs): Claim[] {
  return paperClaims.map(({ id, claim }) => {
    const missing = inputs.missing.find(({ claims }) => claims.includes(id));
    const judgement = missing
      ? untestable(`There are no ${missing.what}: ${missing.why}.`)
      : judges[id](inputs);
    return { claim, source, ...judgement };
  });
}

const first = ({ experiments }: ClaimInputs) => experiments[0] as Experiment;

const judges: Readonly<Record<ClaimId, (inputs: ClaimInputs) => Judgement>> = {
  "sparse-heads": (inputs) => {
    const { heads } = first(inputs).direct;
    const helpful = heads
      .flat()
      .map((effect) => Math.max(0, -effect))
      .sort((a, b) => b - a);
    const total = helpful.reduce((sum, x) => sum + x, 0);
    let [count, sum] = [0, 0];
    while (count < helpful.length && sum < mostOfEffect * total) sum += helpful[count++] as number;
    const share = count / helpful.length;
    return {
      verdict: verdict(total > 0 && share <= fewHeads),
      evidence:
        `${count} of ${helpful.length} heads (${percent(share)}) have ${percent(mostOfEffect)} of the ` +
        `summed helpful direct effect; at most ${percent(fewHeads)} of the heads would support it.`,
    };
  },
  "heads-necessary": (inputs) => {
    const { knockout } = first(inputs);
    const last = knockout?.curve.at(-1);
    const band = knockout?.random.find(({ k }) => k === last?.k);
    if (!knockout || !last || !band) return untestable("No knock-out was run.");
    const base = (knockout.curve[0] as { accuracy: number }).accuracy;
    const drop = 100 * (base - last.accuracy);
    return {
      verdict: verdict(drop >= leastDrop && last.accuracy < band.low),
      evidence:
        `Without the ${last.k} key heads accuracy falls from ${percent(base, 1)} to ` +
        `${percent(last.accuracy, 1)}; ${band.exhaustive ? "all" : band.draws} sets of ${last.k} heads ` +
        `leave ${percent(band.mean, 1)} on average (95 % of them between ${percent(band.low, 1)} and ${percent(band.high, 1)}).`,
    };
  },
  "heads-specific": (inputs) => {
    const { knockout, control } = first(inputs);
    const start = knockout?.curve[0];
    const last = knockout?.curve.at(-1);
    if (start?.control === undefined || last?.control === undefined) {
      return untestable("There was no control task.");
    }
    if (start.control < leastControl) {
      return untestable(
        `The control (${control}) is right in ${percent(start.control, 1)} from the start: it has nothing to lose.`,
      );
    }
    const task = start.accuracy - last.accuracy;
    const other = start.control - last.control;
    return {
      verdict: verdict(100 * task >= leastDrop && other <= specificShare * task),
      evidence:
        `Removing ${last.k} heads costs ${(100 * task).toFixed(1)} points on the task and ` +
        `${(100 * other).toFixed(1)} on the control (${control}; ${percent(start.control, 1)} right before).`,
    };
  },
  "attend-operands": (inputs) =>
    attends(inputs, "operands", (role) => /^operand|_[ab]$/.test(role)),
  "attend-operator": (inputs) => attends(inputs, "the operator", (role) => role === "operator"),
  "mlps-deduce": (inputs) => {
    const { direct } = first(inputs);
    const layer = Number(direct.keyHeads[0]?.split(".")[0] ?? 0);
    const after = direct.mlpShares.slice(layer);
    const strongest = Math.max(...after);
    const name = layer + after.indexOf(strongest);
    return {
      verdict: verdict(strongest >= mostOfMlp),
      evidence:
        `The strongest MLP at or after the first key head's layer ${layer} is MLP ${name} with ` +
        `${percent(strongest)} of the total effect; ${percent(mostOfMlp)} would support it.`,
    };
  },
  "null-operator": (inputs) => {
    if (!inputs.nullOperator) {
      return untestable(
        "The counterfactuals of this run keep the operator and change something else.",
      );
    }
    const { validity } = first(inputs).direct;
    return {
      verdict: verdict(validity.counterfactualStillC <= 0.1),
      evidence:
        `With the operator replaced by a null word ${percent(validity.counterfactualStillC, 1)} of the ` +
        `prompts still give C (mean P(C) ${percent(validity.counterfactualProbC, 1)}). A null word ` +
        "that the model never saw measures shock as much as the absence of calculation.",
    };
  },
  "shared-operations": ({ experiments }) => {
    if (experiments.length < 2) {
      return untestable("One operation was asked; ask several with --task add,sub,mul,div.");
    }
    const sets = experiments.map(({ direct }) => direct.keyHeads);
    const pairs = sets.flatMap((a, i) => sets.slice(i + 1).map((b) => jaccard(a, b)));
    const mean = pairs.reduce((sum, x) => sum + x, 0) / pairs.length;
    return {
      verdict: verdict(mean >= 0.5),
      evidence: `Mean Jaccard overlap of the key heads of ${experiments.length} operations: ${mean.toFixed(2)}; 0.5 would support it.`,
    };
  },
  "transfer-wording": () =>
    untestable("This run mixes wordings; give one items file a wording to compare them."),
  "tuning-improves": (inputs) => {
    const key = keyRun(inputs);
    if (!key || !inputs.tuning) return untestable(inputs.noTuning ?? "There was no tuning.");
    return {
      verdict: verdict(key.updates !== null),
      evidence:
        key.updates === null
          ? `The key heads never gained ${inputs.tuning.matchedGain} points on dev items.`
          : `Training ${key.trainedParameters.toLocaleString("en-US")} parameters of ${key.heads.length} heads for ${key.updates} updates gained ${key.gain.toFixed(1)} points on test items.`,
    };
  },
  "tuning-localised": ({ tuning, noTuning }) =>
    tuning
      ? { verdict: verdict(tuning.verdict.supported), evidence: tuning.verdict.text }
      : untestable(noTuning ?? "There was no tuning."),
  "tuning-preserves": (inputs) => {
    const key = keyRun(inputs);
    if (!key) return untestable(inputs.noTuning ?? "There was no tuning.");
    return {
      verdict: verdict(key.collateral <= mostLost),
      evidence: `At the matched gain the key heads lose ${key.collateral.toFixed(2)} points elsewhere; ${mostLost} would support it.`,
    };
  },
};

/** The key heads without replay: with it, other abilities are trained too. */
function keyRun({ tuning }: ClaimInputs) {
  return tuning?.methods.find(({ kind, replay }) => kind === "key" && !replay);
}

function attends(inputs: ClaimInputs, what: string, counts: (role: string) => boolean): Judgement {
  const { attention } = first(inputs);
  if (!attention || attention.heads.length === 0) return untestable("Attention was not measured.");
  const shares = attention.heads.map(({ head, roles }) => {
    const rest = 1 - (roles.bos?.mean ?? 0);
    const sum = Object.entries(roles).reduce(
      (s, [role, { mean }]) => s + (counts(role) ? mean : 0),
      0,
    );
    return { head, share: sum / rest };
  });
  const looking = shares.filter(({ share }) => share >= mostAttention);
  return {
    verdict: verdict(looking.length > 0 && looking.length >= shares.length / 2),
    evidence:
      `Attention of END to ${what}: ` +
      `${shares.map(({ head, share }) => `${head} ${percent(share)}`).join(", ")} ` +
      `(${looking.length} of ${shares.length} key heads have ${percent(mostAttention)} or more there).`,
  };
}
