import { type Case, headName, type Question } from "../case.ts";
import { attend, hushByFlag, move, raiseFlag } from "../parts.ts";

/** On X_c there is nothing to copy: the token in the place of a is of the role c, which nobody reads. */
export const backup: Case = {
  name: "backup",
  about: "a head copies the answer; a later one does it in its place if it did not",
  depth: 2,
  why: {
    direct: "the backup is silent on X_r and on X_c: replacing it changes nothing",
    total: "the backup makes up for the first head, so that neither has a total effect",
    gradient:
      "the backup's attention is shut by a saturated softmax: gradients see the first head's direct effect only",
  },
  build(stream, places) {
    const [primary, second] = [places.head(places.layer(0)), places.head(places.layer(1))];
    attend(stream, primary, { role: "a", strength: 12 });
    move(stream, primary, "token", { out: 1 });
    raiseFlag(stream, primary);
    attend(stream, second, { role: "a", strength: 12 });
    hushByFlag(stream, second, 24);
    move(stream, second, "token", { out: 1 });
    const [from, to] = [headName(primary), headName(second)];
    return {
      heads: [
        { place: primary, does: "copies a", direct: true, total: false },
        { place: second, does: "copies a if nobody has", direct: false, total: false },
      ],
      mlps: [],
      edges: [
        ["embed", `${from}.v`, "hidden"],
        ["embed", `${from}.k`, "hidden"],
        [from, "logits"],
        [from, `${to}.q`],
      ],
    };
  },
  ask(draw) {
    const [a, b] = [draw.symbol(), draw.symbol()];
    const prompt = (role: "a" | "c"): Question["prompt"] => [
      ["bos", 0],
      [role, a],
      ["b", b],
      ["end", 0],
    ];
    return {
      prompt: prompt("a"),
      counterfactual: prompt("c"),
      answer: ["symbol", a],
      counterfactualAnswer: ["bos", 0],
    };
  },
};
