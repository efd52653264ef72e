import { type Case, headName, mlpName } from "../case.ts";
import { attend, lookUp, move } from "../parts.ts";

/** Two heads bring operands, an MLP looks their sum up. */
export const lookup: Case = {
  name: "lookup",
  about: "two heads bring the operands to END, an MLP looks the result up",
  depth: 3,
  why: {},
  build(stream, places) {
    const [first, second] = [places.head(places.layer(0)), places.head(places.layer(1))];
    const layer = places.layer(2);
    attend(stream, first, { role: "a", strength: 12 });
    move(stream, first, "token", { r1: 1 });
    attend(stream, second, { role: "b", strength: 12 });
    move(stream, second, "token", { r2: 1 });
    lookUp(stream, layer, ["r1", "r2"], "out", (x, y) => (x + y) % stream.sizes.symbols);
    return {
      heads: [
        { place: first, does: "brings a", direct: true, total: true },
        { place: second, does: "brings b", direct: true, total: true },
      ],
      mlps: [{ layer, does: "a + b", direct: true, total: true }],
      edges: [
        ["embed", `${headName(first)}.v`],
        ["embed", `${headName(second)}.v`],
        [headName(first), mlpName(layer)],
        [headName(second), mlpName(layer)],
        [mlpName(layer), "logits"],
      ],
    };
  },
  ask(draw, symbols) {
    const [a, b] = [draw.symbol(), draw.symbol()];
    const otherA = draw.symbol(a);
    // Both change, and so does the sum.
    const otherB = draw.symbol(b, (((a + b - otherA) % symbols) + symbols) % symbols);
    return {
      prompt: [
        ["bos", 0],
        ["a", a],
        ["b", b],
        ["end", 0],
      ],
      counterfactual: [
        ["bos", 0],
        ["a", otherA],
        ["b", otherB],
        ["end", 0],
      ],
      answer: ["symbol", (a + b) % symbols],
      counterfactualAnswer: ["symbol", (otherA + otherB) % symbols],
    };
  },
};
