import { type Case, headName, type Question } from "../case.ts";
import { attend, move } from "../parts.ts";

/** What the first head adds to the answer, a later head that reads it takes away again. */
export const cancelling: Case = {
  name: "cancelling",
  about:
    "a head writes the answer, a later one reads it at END and writes it negatively; a third one remains",
  depth: 2,
  why: { total: "what the first head adds, the negative one takes away: its total effect is nil" },
  build(stream, places) {
    const [early, late] = [places.layer(0), places.layer(1)];
    const [writer, other] = [places.head(early, 0), places.head(early, 1)];
    const negative = places.head(late);
    attend(stream, writer, { role: "a", strength: 12 });
    move(stream, writer, "token", { out: 1, r1: 1 });
    attend(stream, other, { role: "a", strength: 12 });
    move(stream, other, "token", { out: 1 });
    attend(stream, negative, { role: "end", strength: 12, from: "end" });
    move(stream, negative, "r1", { out: -1 });
    const [from, beside, to] = [headName(writer), headName(other), headName(negative)];
    return {
      heads: [
        { place: writer, does: "writes the answer", direct: true, total: false },
        { place: other, does: "writes the answer too", direct: true, total: true },
        { place: negative, does: "takes the first one's away", direct: true, total: true },
      ],
      mlps: [],
      edges: [
        ["embed", `${from}.v`, "hidden"],
        ["embed", `${beside}.v`],
        [from, "logits"],
        [beside, "logits"],
        [from, `${to}.v`],
        [to, "logits"],
      ],
    };
  },
  ask(draw) {
    const [a, b] = [draw.symbol(), draw.symbol()];
    const [other, otherB] = [draw.symbol(a), draw.symbol(b)];
    const prompt = (x: number, y: number): Question["prompt"] => [
      ["bos", 0],
      ["a", x],
      ["b", y],
      ["end", 0],
    ];
    return {
      prompt: prompt(a, b),
      counterfactual: prompt(other, otherB),
      answer: ["symbol", a],
      counterfactualAnswer: ["symbol", other],
    };
  },
};
