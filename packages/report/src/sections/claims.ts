/** Each claim of the paper, with what this run says about it. */
import { table } from "../charts/table.ts";
import { type Html, html } from "../html.ts";
import type { Claim, RunResult } from "../results.ts";
import type { Part } from "./part.ts";

const badges: Readonly<Record<Claim["verdict"], { className: string; mark: string }>> = {
  supported: { className: "supported", mark: "✓" },
  "not supported": { className: "not-supported", mark: "✗" },
  "not testable here": { className: "untestable", mark: "–" },
};

export function claims(run: RunResult): Part | null {
  if (run.claims.length === 0) return null;
  const body = html`<p>What was claimed, and what this run says about it. “Not supported” means that this
model and these items do not show it, not that it is wrong elsewhere.</p>
${table<Claim>({
  caption: "Claims",
  cards: true,
  columns: [
    { head: "Claim", cell: (c) => html`${c.claim}<br><small>${c.source}</small>`, rowHead: true },
    { head: "Verdict", cell: badge },
    { head: "Evidence", cell: (c) => c.evidence },
  ],
  rows: run.claims,
})}`;
  return { id: "claims", title: "Claims of the paper", body };
}

function badge(claim: Claim): Html {
  const look = badges[claim.verdict] ?? badges["not testable here"];
  return html`<span class="badge ${look.className}"><span aria-hidden="true">${look.mark}</span> ${claim.verdict}</span>`;
}
