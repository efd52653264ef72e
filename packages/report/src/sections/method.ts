/** What the words on this page mean, defined as they were computed. */
import { effectTitle } from "../effects.ts";
import { html } from "../html.ts";
import type { RunResult } from "../results.ts";
import { where } from "../text/summarise.ts";
import type { Part } from "./part.ts";

export function method(run: RunResult): Part {
  const direct = run.experiments[0]?.direct;
  const knockout = run.experiments[0]?.knockout;
  const terms: readonly (readonly [string, string])[] = [
    ["Head 2.1", "Layer 2, head 1, both counted from zero. An MLP is named by its layer."],
    [
      "Prompt and counterfactual",
      "The prompt needs the calculation; its counterfactual is the same but for what the answer hangs on. C is the answer of the prompt, C′ that of the counterfactual. The last token before the answer is called END.",
    ],
    [
      "Effect",
      `The mean change of a metric when a component is replaced${direct ? `; here the metric is the ${effectTitle(direct.effect)}` : ""}. The logit difference is logit(C) − logit(C′). A negative effect means that the component helps the answer.`,
    ],
    [
      "Total effect and share",
      "The total effect is the metric on the counterfactual minus the metric on the prompt. A share is the mean effect of a component divided by the total effect (a ratio of means), so positive shares help the answer.",
    ],
    [
      "Direct effect (path patching)",
      `The component's output at END becomes what it is on the counterfactual; all other attention outputs stay as on the prompt, and the MLPs are ${direct?.mlpPath === "freeze" ? "frozen too" : "recomputed"}. It finds what writes the answer at END.`,
    ],
    [
      "Total effect at END",
      "Activation patching: the same replacement at END, everything after it recomputed.",
    ],
    [
      "Total effect at all positions",
      "The same at every position. High here and low in the direct effect means upstream, not unimportant.",
    ],
    [
      "Intervals",
      "95 % cluster bootstrap: items that share their facts are drawn together. Intervals of shares divide the interval of the effect by the total effect.",
    ],
    [
      "Discovery and evaluation",
      "Components are found on one part of the items and tested on another; items that share their facts are all on one side.",
    ],
    [
      "p (family-wise)",
      "Max-T sign-flip test: the chance that the largest effect of all components would be as clear if signs of whole groups of items were drawn at random.",
    ],
    [
      "Knock-out",
      `Accuracy with components removed${knockout ? ` by ${knockout.ablation} ablation ${where(knockout.positions)}` : ""}. The random band removes as many random heads; the control is another task of the same form that should not suffer.`,
    ],
    ["Specific drop", "Fall on the task minus fall on the control."],
    [
      "Attention by role",
      "Attention of END to the tokens of each role. It is given beside what the heads of the same layer give these positions on average, and weighted by the size of what is moved.",
    ],
    [
      "Logit lens, direct logit attribution",
      "The residual stream after each layer, read through the final norm and the unembedding; and what a layer's attention or MLP adds to the logit of the answer on the direct way.",
    ],
    [
      "Matched gain, collateral",
      "Tuning methods are compared where each has gained the same on the target class. Collateral is what all other classes lose, in percentage points.",
    ],
    [
      "Supported",
      "At most one in twenty layer-matched random draws reaches the same gain with no more updates, and at most one in twenty at no more collateral. Anything else is “not supported”. Both are results.",
    ],
  ];
  const body = html`<dl class="definitions">${terms.map(
    ([term, text]) => html`<div><dt>${term}</dt><dd>${text}</dd></div>`,
  )}</dl>
<p class="note">After Zhang et al., <cite>Interpreting and Improving Large Language Models in Arithmetic
Calculation</cite> (arXiv 2409.01659), and Wang et al., <cite>Interpretability in the Wild</cite>
(arXiv 2211.00593).</p>`;
  return { id: "method", title: "Method and definitions", body };
}
