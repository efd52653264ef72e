import { type Case, headName, mlpName, type Question } from "../case.ts";
import { attend, lookUp, move } from "../parts.ts";

/** An MLP reads what another one looked up. */
export const twoLookups: Case = {
  name: "two-lookups",
  about: "an MLP looks a + b up, a later one adds c to it",
  depth: 3,
  why: {
    steps:
      "five points on the way from X_r to X_c miss the steep part of two look-ups behind each other (50 find it)",
  },
  build(stream, places) {
    const layers = [places.layer(0), places.layer(1), places.layer(2)] as const;
    const [a, b] = [places.head(layers[0], 0), places.head(layers[0], 1)];
    const late = places.head(layers[1]);
    const sum = (x: number, y: number) => (x + y) % stream.sizes.symbols;
    attend(stream, a, { role: "a", strength: 12 });
    move(stream, a, "token", { r1: 1 });
    attend(stream, b, { role: "b", strength: 12 });
    move(stream, b, "token", { r2: 1 });
    attend(stream, late, { role: "c", strength: 12 });
    move(stream, late, "token", { r3: 1 });
    lookUp(stream, layers[1], ["r1", "r2"], "r4", sum);
    lookUp(stream, layers[2], ["r4", "r3"], "out", sum);
    const [middle, last] = [mlpName(layers[1]), mlpName(layers[2])];
    return {
      heads: [
        { place: a, does: "brings a", direct: true, total: true },
        { place: b, does: "brings b", direct: true, total: true },
        { place: late, does: "brings c", direct: true, total: true },
      ],
      mlps: [
        { layer: layers[1], does: "a + b", direct: true, total: true },
        { layer: layers[2], does: "(a + b) + c", direct: true, total: true },
      ],
      edges: [
        ...[a, b, late].map((head) => ["embed", `${headName(head)}.v`] as const),
        [headName(a), middle],
        [headName(b), middle],
        [middle, last],
        [headName(late), last],
        [last, "logits"],
      ],
    };
  },
  ask(draw, symbols) {
    const [a, b, c] = [draw.symbol(), draw.symbol(), draw.symbol()];
    const sum = (...of: number[]) => of.reduce((x, y) => x + y, 0) % symbols;
    const [otherA, otherC] = [draw.symbol(a), draw.symbol(c)];
    const same = (x: number) => ((x % symbols) + symbols) % symbols;
    const otherB = draw.symbol(b, same(a + b - otherA), same(a + b + c - otherA - otherC));
    const prompt = (x: number, y: number, z: number): Question["prompt"] => [
      ["bos", 0],
      ["a", x],
      ["b", y],
      ["c", z],
      ["end", 0],
    ];
    return {
      prompt: prompt(a, b, c),
      counterfactual: prompt(otherA, otherB, otherC),
      answer: ["symbol", sum(a, b, c)],
      counterfactualAnswer: ["symbol", sum(otherA, otherB, otherC)],
    };
  },
};
