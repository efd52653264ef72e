import { type Case, headName, type Question } from "../case.ts";
import { attend, move } from "../parts.ts";

/** A head tells another one where to look; how surely is its strength. */
function pointing(name: string, strength: number, about: string, why: Case["why"]): Case {
  return {
    name,
    about,
    depth: 2,
    why: {
      direct: "the selector acts only through the queries of the reader",
      pattern: "the selector acts only through where the reader looks",
      ...why,
    },
    build(stream, places) {
      const [selector, reader] = [places.head(places.layer(0)), places.head(places.layer(1))];
      attend(stream, selector, { role: "choice", strength: 12 });
      move(stream, selector, "token", { r1: 1 });
      attend(stream, reader, { choose: "r1", among: ["a", "b"], strength });
      move(stream, reader, "token", { out: 1 });
      const [from, to] = [headName(selector), headName(reader)];
      return {
        heads: [
          { place: selector, does: "reads which", direct: false, total: true },
          { place: reader, does: "copies a or b", direct: true, total: true },
        ],
        mlps: [],
        edges: [
          ["embed", `${from}.v`],
          [from, `${to}.q`],
          [to, "logits"],
        ],
      };
    },
    ask(draw) {
      const which = draw.symbol() % 2;
      const a = draw.symbol();
      const b = draw.symbol(a);
      const prompt = (choice: number): Question["prompt"] => [
        ["bos", 0],
        ["a", a],
        ["b", b],
        ["choice", choice],
        ["end", 0],
      ];
      return {
        prompt: prompt(which),
        counterfactual: prompt(1 - which),
        answer: ["symbol", which === 0 ? a : b],
        counterfactualAnswer: ["symbol", which === 0 ? b : a],
      };
    },
  };
}

export const pointer = pointing(
  "pointer",
  8,
  "a head tells a later one, through its queries, which of two symbols to copy",
  {},
);
export const saturated = pointing(
  "saturated",
  40,
  "the same with attention so sure that its softmax has no slope",
  { gradient: "the reader's softmax is saturated: no gradient reaches the selector" },
);
