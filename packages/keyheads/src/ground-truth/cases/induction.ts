import { type Case, headName } from "../case.ts";
import { attend, move } from "../parts.ts";

/** x1 y1 x2 y2 x1 -> y1; on X_c the names x1 and x2 have changed places. */
export const induction: Case = {
  name: "induction",
  about:
    "a head notes the previous token, a later one finds where END's token was noted and copies",
  depth: 2,
  why: {
    direct:
      "the previous-token head acts at other positions than END, through the keys of the later head",
    gradient: "the later head's softmax is saturated: hardly a gradient reaches its keys",
    pattern: "the previous-token head acts only through where the later one looks",
  },
  build(stream, places) {
    const [previous, finder] = [places.head(places.layer(0)), places.head(places.layer(1))];
    attend(stream, previous, { previous: true, strength: 20 });
    move(stream, previous, "token", { r1: 1 });
    attend(stream, finder, { match: ["token", "r1"], strength: 14 });
    move(stream, finder, "token", { out: 1 });
    const [from, to] = [headName(previous), headName(finder)];
    return {
      heads: [
        { place: previous, does: "notes the previous token", direct: false, total: true },
        { place: finder, does: "finds END's token and copies", direct: true, total: true },
      ],
      mlps: [],
      edges: [
        ["embed", `${from}.v`],
        [from, `${to}.k`],
        [to, "logits"],
      ],
    };
  },
  ask(draw) {
    const x1 = draw.symbol();
    const x2 = draw.symbol(x1);
    const y1 = draw.symbol(x1, x2);
    const y2 = draw.symbol(x1, x2, y1);
    const prompt = (a: number, b: number): [["bos", number], ...["symbol", number][]] => [
      ["bos", 0],
      ["symbol", a],
      ["symbol", y1],
      ["symbol", b],
      ["symbol", y2],
      ["symbol", x1],
    ];
    return {
      prompt: prompt(x1, x2),
      counterfactual: prompt(x2, x1),
      answer: ["symbol", y1],
      counterfactualAnswer: ["symbol", y2],
    };
  },
};
