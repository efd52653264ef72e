import { type Case, headName } from "../case.ts";
import { attend, move } from "../parts.ts";

/** One head copies the answer; another one copies just as well to where nothing reads. */
export const copy: Case = {
  name: "copy",
  about: "a head copies the answer to END; a second one writes where nothing reads",
  depth: 1,
  why: {},
  build(stream, places) {
    const layer = places.layer(0);
    const [copier, distractor] = [places.head(layer, 0), places.head(layer, 1)];
    attend(stream, copier, { role: "a", strength: 12 });
    move(stream, copier, "token", { out: 1 });
    attend(stream, distractor, { role: "b", strength: 12 });
    move(stream, distractor, "token", { junk: 1 });
    const name = headName(copier);
    return {
      heads: [{ place: copier, does: "copies a", direct: true, total: true }],
      mlps: [],
      edges: [
        ["embed", `${name}.v`],
        [name, "logits"],
      ],
    };
  },
  ask(draw) {
    const [a, b] = [draw.symbol(), draw.symbol()];
    const [other, otherB] = [draw.symbol(a), draw.symbol(b)];
    return {
      prompt: [
        ["bos", 0],
        ["a", a],
        ["b", b],
        ["end", 0],
      ],
      counterfactual: [
        ["bos", 0],
        ["a", other],
        ["b", otherB],
        ["end", 0],
      ],
      answer: ["symbol", a],
      counterfactualAnswer: ["symbol", other],
    };
  },
};
