/** Styles of the parts: figures, tables, tiles, badges, the worked example, tooltips. */
const figures = `
figure { margin: 0 0 1.2em; min-width: 0; }
figcaption { color: var(--muted); font-size: 0.86rem; line-height: 1.5; margin-top: 8px; max-width: 46em; }
.figure-title { font-weight: 600; font-size: 0.92rem; margin: 0 0 6px; }
.plot { display: block; max-width: 100%; height: auto; overflow: visible; font-family: inherit; }
.plot.keep { max-width: none; }
.plot text { white-space: pre; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; max-width: 100%; }
.for-narrow { display: none; }
.pair { display: flex; flex-wrap: wrap; gap: 20px 44px; align-items: flex-start; }
.pair > * { flex: 1 1 320px; min-width: 0; }
.row-of-maps, .row-of-charts { display: grid; gap: 16px 28px; align-items: start; margin: 0 0 0.6em; }
.row-of-maps { grid-template-columns: repeat(auto-fill, minmax(min(100%, 250px), 1fr)); }
.row-of-charts { grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); }
.legend {
  list-style: none; display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 0 0 10px; padding: 0;
  font-size: 0.85rem; color: var(--muted);
}
.legend li { display: inline-flex; align-items: center; gap: 7px; overflow-wrap: anywhere; }
.legend svg { flex: none; }
.heat-legend {
  display: flex; flex-wrap: wrap; align-items: flex-start; gap: 2px 16px; margin: 10px 0;
  font-size: 0.85rem; color: var(--muted);
}
.heat-legend span { flex: 1 1 220px; line-height: 1.4; }
.prune { display: flex; flex-wrap: wrap; gap: 6px 14px; align-items: center; margin: 0 0 12px; font-size: 0.9rem; }
.prune[hidden] { display: none; }
.prune input { flex: 1 1 220px; max-width: 360px; accent-color: var(--helps); }
.prune output { color: var(--muted); font-variant-numeric: tabular-nums; min-width: 17em; }
details.more { margin: 10px 0; font-size: 0.92rem; }
details > summary { cursor: pointer; color: var(--link); font-size: 0.88rem; }
details.more[open] > summary { margin-bottom: 8px; }
@media screen and (max-width: 820px) {
  .for-wide { display: none; }
  .for-narrow { display: block; }
}
.tip {
  position: fixed; z-index: 4; max-width: 280px; padding: 5px 10px; border-radius: 6px; font-size: 0.82rem;
  line-height: 1.4; background: var(--ink); color: var(--surface); pointer-events: none; overflow-wrap: anywhere;
}`;

const tables = `
table { border-collapse: collapse; font-size: 0.9rem; width: 100%; margin: 4px 0 12px; }
caption { text-align: left; font-weight: 600; font-size: 0.92rem; padding: 0 0 6px; }
th, td {
  text-align: left; vertical-align: top; padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line);
  overflow-wrap: break-word;
}
thead th { color: var(--muted); font-weight: 500; font-size: 0.84rem; vertical-align: bottom; }
tbody th { font-weight: 500; }
th:last-child, td:last-child { padding-right: 0; }
.num { text-align: right; font-variant-numeric: tabular-nums; }
td.num, td small { white-space: nowrap; }
.highlight > * { background: var(--yes-soft); }
.highlight > :first-child { box-shadow: -8px 0 0 var(--yes-soft); }
.matrix { width: auto; }
.matrix td.shaded {
  background: color-mix(in srgb, var(--helps) calc(var(--w) * 0.45), var(--surface));
  padding: 7px 12px; border: 2px solid var(--surface); min-width: 7em;
}
.matrix td small { display: block; color: var(--muted); }
.gain { color: var(--helps); font-weight: 600; }
.loss { color: var(--against); font-weight: 600; }
@media screen and (max-width: 640px) {
  th, td { padding-right: 10px; }
  table.cards, .cards tbody, .cards tr, .cards th, .cards td { display: block; }
  .cards thead { display: none; }
  .cards th, .cards td { border: 0; padding: 3px 0; }
  .cards tr { border-bottom: 1px solid var(--line); padding: 10px 0; }
}`;

const pieces = `
.tiles {
  display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 170px), 1fr)); gap: 12px;
  margin: 0 0 26px;
}
.tiles > div { background: var(--soft); border-radius: 10px; padding: 14px 18px; }
.tiles dt { font-size: 0.8rem; color: var(--muted); }
.tiles dd { margin: 0; }
.figure-number {
  display: block; font-size: 1.75rem; font-weight: 650; letter-spacing: -0.02em; line-height: 1.3;
  font-variant-numeric: tabular-nums;
}
.tile-note { font-size: 0.82rem; color: var(--muted); line-height: 1.4; display: block; overflow-wrap: anywhere; }
.answers { margin: 0 0 8px; }
.answers h3 { margin: 1.4em 0 0.3em; }
.answers dl { margin: 0; }
.answers dl > div { display: grid; grid-template-columns: 128px 1fr; gap: 2px 20px; padding: 7px 0; }
.answers dl > div + div { border-top: 1px solid var(--line); }
.answers dt { color: var(--muted); font-size: 0.9rem; padding-top: 1px; }
.answers dd { margin: 0; max-width: 43em; overflow-wrap: anywhere; }
.inline-facts { display: flex; flex-wrap: wrap; gap: 8px 30px; margin: 0 0 20px; }
.inline-facts dt { font-size: 0.8rem; color: var(--muted); }
.inline-facts dd { margin: 0; font-variant-numeric: tabular-nums; }
.definitions { margin: 0 0 18px; }
.definitions > div { display: grid; grid-template-columns: 210px 1fr; gap: 4px 20px; padding: 8px 0; border-bottom: 1px solid var(--line); }
.definitions dt { font-weight: 600; font-size: 0.92rem; }
.definitions dd { margin: 0; font-size: 0.92rem; max-width: 46em; }
.badge {
  display: inline-block; border-radius: 999px; padding: 1px 11px; font-size: 0.82rem; font-weight: 600;
  white-space: nowrap; border: 1px solid currentColor;
}
.badge.supported { color: var(--yes); background: var(--yes-soft); }
.badge.not-supported { color: var(--no); background: var(--no-soft); }
.badge.untestable { color: var(--muted); background: var(--soft); }
.verdict { border-left: 4px solid var(--no); background: var(--no-soft); border-radius: 0 8px 8px 0; padding: 14px 20px 4px; margin: 0 0 22px; }
.verdict.yes { border-color: var(--yes); background: var(--yes-soft); }
.verdict p { margin-bottom: 10px; }
.verdict .badge { margin-right: 6px; }
.token-line { display: flex; gap: 4px 14px; margin: 0 0 10px; align-items: baseline; }
.token-name { flex: 0 0 112px; color: var(--muted); font-size: 0.88rem; }
.tokens { display: flex; flex-wrap: wrap; gap: 4px; align-items: baseline; min-width: 0; }
.token {
  display: inline-block; min-width: 1.9em; max-width: 100%; text-align: center; padding: 3px 7px; border-radius: 5px;
  background: var(--soft); font-size: 1rem; overflow-wrap: anywhere;
}
.token.of-role { color: var(--on-role); }
.token.changed { box-shadow: inset 0 -3px 0 var(--against); }
.token.answer { background: none; border: 2px solid var(--helps); padding: 1px 6px; font-weight: 700; }
.arrow { color: var(--muted); padding: 0 4px; }
.weighted { display: inline-flex; flex-direction: column; align-items: center; min-width: 2.9em; }
.weighted .token { min-width: 2.7em; background: color-mix(in srgb, var(--helps) calc(var(--w) * 0.55), var(--soft)); }
.weighted small { font-variant-numeric: tabular-nums; }
.predictions { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 230px), 1fr)); gap: 12px 32px; }
.top-token { white-space: nowrap; margin-right: 10px; }
.top-token code { background: var(--soft); border-radius: 4px; padding: 1px 5px; }
.meter { list-style: none; margin: 0; padding: 0; font-size: 0.92rem; }
.meter li { display: grid; grid-template-columns: minmax(2em, max-content) 1fr 5.4em; gap: 10px; align-items: center; padding: 2px 0; }
.meter code { max-width: 9em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.meter .num { text-align: left; white-space: nowrap; }
.bar { background: var(--soft); border-radius: 4px; height: 12px; overflow: hidden; }
.bar span { display: block; height: 100%; background: var(--c-random); }
.right .bar span { background: var(--helps); }
.right .num { font-weight: 650; }
.tick { color: var(--helps); }
@media (max-width: 640px) {
  .answers dl > div { grid-template-columns: 1fr; }
  .definitions > div { grid-template-columns: 1fr; }
  .token-line { flex-direction: column; }
  .token-name { flex-basis: auto; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 8px; }
  .tiles > div { padding: 10px 12px; }
  .figure-number { font-size: 1.4rem; }
  .inline-facts { gap: 8px 20px; }
}`;

export const components = `${figures}${tables}${pieces}`;
