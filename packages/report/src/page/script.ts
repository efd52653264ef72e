/**
 * What the page does beyond being read: tooltips that follow the pointer at once, and the contents
 * list that marks where the reader is. Without it the browser's own tooltips and links remain.
 */
export const script = `
"use strict";
(() => {
  const tip = document.querySelector(".tip");
  // The name of a whole chart is for screen readers; as a tooltip it would cover the chart.
  for (const title of document.querySelectorAll("svg[role=img] > title")) {
    title.parentNode.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  for (const title of document.querySelectorAll("svg[role=img] title")) {
    title.parentNode.dataset.tip = title.textContent;
    title.remove();
  }
  const show = (event) => {
    const target = event.target.closest ? event.target.closest("[data-tip]") : null;
    tip.hidden = !target;
    if (!target) return;
    tip.textContent = target.dataset.tip;
    const box = tip.getBoundingClientRect();
    const left = Math.min(event.clientX + 14, document.documentElement.clientWidth - box.width - 8);
    const above = event.clientY - box.height - 12;
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = (above < 8 ? event.clientY + 18 : above) + "px";
  };
  document.addEventListener("pointermove", show, { passive: true });
  document.addEventListener("pointerdown", show, { passive: true });
  document.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true, capture: true });

  for (const box of document.querySelectorAll("[data-prune]")) {
    const graph = document.getElementById(box.dataset.prune);
    const range = box.querySelector("input");
    const said = box.querySelector("output");
    // A graph may be drawn twice, for wide and for narrow pages.
    const edges = [...graph.querySelectorAll("[data-share]")];
    const drawings = graph.querySelectorAll("svg").length;
    const prune = () => {
      const kept = edges.filter((edge) => {
        const keep = Number(edge.dataset.share) >= Number(range.value);
        edge.style.display = keep ? "" : "none";
        return keep;
      });
      const used = new Set(kept.flatMap((edge) => [edge.dataset.from, edge.dataset.to]));
      for (const node of graph.querySelectorAll("[data-node]")) {
        node.style.opacity = used.has(node.dataset.node) ? 1 : 0.15;
      }
      const text = range.value + " % of the strongest: " + kept.length / drawings + " of " + edges.length / drawings + " edges";
      said.textContent = text;
      range.setAttribute("aria-valuetext", text);
    };
    range.addEventListener("input", prune);
    box.hidden = false;
    prune();
  }

  const links = new Map();
  for (const link of document.querySelectorAll("nav.side a")) links.set(link.hash.slice(1), link);
  const seen = new Set();
  const places = [...links.keys()].map((id) => document.getElementById(id)).filter(Boolean);
  const mark = () => {
    const here = places.filter((place) => seen.has(place)).pop();
    for (const [id, link] of links) {
      if (here && id === here.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) seen.add(target);
      else seen.delete(target);
    }
    mark();
  }, { rootMargin: "0px 0px -70% 0px" });
  for (const place of places) watcher.observe(place);
  for (const details of document.querySelectorAll(".contents-top a")) {
    details.addEventListener("click", () => { details.closest("details").open = false; });
  }
})();
`;
