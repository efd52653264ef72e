/** One experiment: the question, then every analysis that was made of it. */
import type { Palette } from "../colors.ts";
import { html } from "../html.ts";
import type { Experiment } from "../results.ts";
import { attentionPart } from "./attention-part.ts";
import { circuitGraphPart } from "./circuit-graph-part.ts";
import { circuitPart } from "./circuit-part.ts";
import { counterfactualPart, threeEffectsPart } from "./comparison-parts.ts";
import { directPart } from "./direct-part.ts";
import { lensPart } from "./lens-part.ts";
import { methodsPart } from "./methods-part.ts";
import type { Part } from "./part.ts";
import { pathsPart } from "./paths-part.ts";
import { knockOutPart, subsetsPart } from "./proof-parts.ts";

export function experiment(data: Experiment, prefix: string, palette: Palette): Part {
  const parts = [
    directPart(data, prefix),
    threeEffectsPart(data, prefix),
    pathsPart(data, prefix),
    counterfactualPart(data, prefix),
    knockOutPart(data, prefix),
    subsetsPart(data, prefix),
    circuitPart(data, prefix),
    circuitGraphPart(data, prefix),
    methodsPart(data, prefix),
    attentionPart(data, prefix, palette),
    lensPart(data, prefix),
  ].filter((part) => part !== null);
  const body = html`<p class="lead">${data.description}</p>
${data.notes?.map((note) => html`<p>${note}</p>`)}
${parts.map(
  ({ id, title, body: content }) => html`<section id="${id}" class="part">
<h3>${title}</h3>
${content}
</section>`,
)}`;
  return { id: prefix, title: data.title, body, parts };
}
