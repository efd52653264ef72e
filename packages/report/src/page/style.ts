/**
 * The style sheet. Colours are variables with a light and a dark value each; charts use the same
 * variables. Blue and orange are told apart by readers with any of the usual colour deficiencies.
 */
import { components } from "./style-components.ts";

const variables = `
:root {
  color-scheme: light dark;
  --page: #f6f6f3; --surface: #ffffff; --ink: #1d2127; --muted: #5c6570; --line: #e2e3df;
  --link: #17599c; --soft: #eef1f4;
  --helps: #1b64ad; --against: #b95008; --mlp: #2a8f74;
  --cell-weak: #1d2127; --cell-middle: #1d2127; --cell-strong: #ffffff;
  --c-key: #1b64ad; --c-control: #2a8f74; --c-random: #858e99; --c-band: #d5d9de;
  --c-a: #b95008; --c-b: #9b4f96; --c-lowest: #b95008; --c-mlp-tuned: #2a8f74; --c-full: #9b4f96;
  --on-role: #14181d;
  --yes: #1b64ad; --yes-soft: #e6f0fa; --no: #a04407; --no-soft: #fbeee3;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #13161a; --surface: #1b1f25; --ink: #e5e8ec; --muted: #9ba5b1; --line: #30363e;
    --link: #7db9f7; --soft: #242a32;
    --helps: #69aef5; --against: #f2994a; --mlp: #5cc4a5;
    --cell-weak: #e5e8ec; --cell-middle: #0f1317; --cell-strong: #0f1317;
    --c-key: #69aef5; --c-control: #5cc4a5; --c-random: #8b95a1; --c-band: #333a43;
    --c-a: #f2994a; --c-b: #d59ad0; --c-lowest: #f2994a; --c-mlp-tuned: #5cc4a5; --c-full: #d59ad0;
    --yes: #7db9f7; --yes-soft: #1b2b3c; --no: #f2a765; --no-soft: #35281c;
  }
}`;

const base = `
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1, h2, h3 { line-height: 1.25; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: 2rem; letter-spacing: -0.015em; margin: 0.1em 0 0.4em; }
h2 { font-size: 1.4rem; letter-spacing: -0.01em; margin: 0 0 0.7em; }
h3 { font-size: 1.08rem; margin: 2.2em 0 0.5em; }
p { margin: 0 0 1em; max-width: 46em; overflow-wrap: anywhere; }
a { color: var(--link); text-decoration-thickness: 1px; text-underline-offset: 2px; }
code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 0.92em; }
small { font-size: 0.82em; color: var(--muted); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 3px; }
.visually-hidden {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap;
}
.skip { position: absolute; left: -999px; }
.skip:focus { left: 8px; top: 8px; background: var(--surface); padding: 6px 12px; z-index: 3; }
.layout { max-width: 1240px; margin: 0 auto; padding: 0 20px; }
main { min-width: 0; padding: 40px 0 60px; }
main > section {
  background: var(--surface); border: 1px solid var(--line); border-radius: 12px;
  padding: 30px 34px; margin: 0 0 24px;
}
main > section, .part { scroll-margin-top: 16px; }
.part > h3 { padding-top: 1.4em; margin-top: 1.6em; border-top: 1px solid var(--line); }
.lead { font-size: 1.08rem; color: var(--ink); }
.note, .origin { color: var(--muted); font-size: 0.88rem; }
footer { color: var(--muted); font-size: 0.85rem; padding: 6px 2px; }
.page-head { padding: 0 2px 22px; }
.overline {
  margin: 0; font-size: 0.78rem; letter-spacing: 0.09em; text-transform: uppercase; color: var(--muted);
}
.facts { list-style: none; padding: 0; margin: 0 0 0.6em; color: var(--muted); font-size: 0.92rem; }
.facts li { display: inline; overflow-wrap: anywhere; }
.facts li:not(:last-child)::after { content: " · "; }
.facts strong { color: var(--ink); }
.origin { margin-bottom: 0.6em; }
.prompt-form { margin: 0; font-size: 0.92rem; }
.prompt-form span { color: var(--muted); margin-right: 6px; }
nav.side { display: none; }
nav ol, .contents-top ol { list-style: none; margin: 0; padding: 0; }
nav ol ol, .contents-top ol ol { padding-left: 14px; }
.contents-top {
  margin: 0 0 20px; background: var(--surface); border: 1px solid var(--line); border-radius: 10px;
  padding: 8px 16px;
}
.contents-top a { display: block; padding: 4px 0; overflow-wrap: anywhere; }
@media (min-width: 1100px) {
  .layout { display: grid; grid-template-columns: 200px minmax(0, 1fr); gap: 36px; }
  nav.side {
    display: block; position: sticky; top: 0; align-self: start; max-height: 100vh; overflow-y: auto;
    padding: 46px 0 30px; font-size: 0.84rem; line-height: 1.4;
  }
  nav.side a {
    display: block; padding: 4px 8px; color: var(--muted); text-decoration: none;
    border-left: 2px solid transparent; overflow-wrap: anywhere;
  }
  nav.side > ol > li > a { color: var(--ink); font-weight: 600; margin-top: 6px; }
  nav.side a:hover { color: var(--link); }
  nav.side a[aria-current] { color: var(--link); border-left-color: var(--link); }
  .contents-top { display: none; }
}
@media (max-width: 640px) {
  body { font-size: 15.5px; }
  .layout { padding: 0 10px; }
  main { padding-top: 24px; }
  main > section { padding: 20px 14px; border-radius: 10px; }
  h1 { font-size: 1.6rem; }
  h2 { font-size: 1.25rem; }
}`;

const print = `
@media print {
  :root { --page: #fff; --surface: #fff; }
  body { font-size: 11pt; }
  main { padding: 0; }
  main > section { border: 0; padding: 0 0 12pt; border-radius: 0; }
  nav.side, .contents-top, .skip, .tip { display: none !important; }
  .layout { display: block; padding: 0; max-width: none; }
  figure, tr, .tiles > div { break-inside: avoid; }
  h2, h3, .figure-title { break-after: avoid; }
  details.more:not([open]) { display: none; }
  .scroll { overflow: visible; }
  a { color: inherit; text-decoration: none; }
  .plot, .token, .badge, .bar span { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }`;

export const style = `${variables}${base}${components}${print}`;
