import { type Case, headName, type Question } from "../case.ts";
import { attend, move } from "../parts.ts";

/** a -> relay1 -> relay2 -> END: two of three heads never write to END. */
export const chain: Case = {
  name: "chain",
  about:
    "three heads hand the answer on from position to position; two act only through later heads",
  depth: 3,
  why: {
    direct: "the first two heads write to other positions than END: they have no direct effect",
  },
  build(stream, places) {
    const [first, second] = [places.head(places.layer(0)), places.head(places.layer(1))];
    const last = places.head(places.layer(2));
    attend(stream, first, { role: "a", from: "relay1", strength: 12 });
    move(stream, first, "token", { r1: 1 });
    attend(stream, second, { role: "relay1", from: "relay2", strength: 12 });
    move(stream, second, "r1", { r2: 1 });
    attend(stream, last, { role: "relay2", from: "end", strength: 12 });
    move(stream, last, "r2", { out: 1 });
    const [a, b, c] = [headName(first), headName(second), headName(last)];
    return {
      heads: [
        { place: first, does: "a to the first relay", direct: false, total: true },
        { place: second, does: "on to the second relay", direct: false, total: true },
        { place: last, does: "on to END", direct: true, total: true },
      ],
      mlps: [],
      edges: [
        ["embed", `${a}.v`],
        [a, `${b}.v`],
        [b, `${c}.v`],
        [c, "logits"],
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
      ["relay1", 0],
      ["relay2", 0],
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
