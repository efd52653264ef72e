/** stories260K: a 260 thousand parameter LLaMA that tells very short stories; no arithmetic. */
import type { TaskCard } from "../card.ts";

const moods = "sad happy scared hungry tired angry lost sick excited brave".split(" ");

export const stories260k: TaskCard = {
  title: "Short stories for small children",
  summary:
    "A LLaMA of 5 layers x 8 heads on 4 key/value heads (260 thousand parameters) that continues " +
    "stories. Its task here is a pronoun: a story about a girl goes on with She, one about a boy " +
    "with He.",
  promptForm: "There was a little girl named Lily. Lily was sad. -> She",
  answer: "one token",
  roles: [
    { name: "child", title: "girl or boy", spans: ["child"] },
    { name: "name1", title: "the name, first time", spans: ["name1"] },
    { name: "name2", title: "the name, second time", spans: ["name2"] },
    { name: "mood", title: "the mood", spans: ["mood"] },
    { name: "bos", title: "begin of text", spans: ["bos"] },
  ],
  splits: { discover: 0.5, dev: 0.2, test: 0.3, by: "name and mood" },
  defaultTask: "pronoun",
  words: [
    {
      name: "pronoun",
      title: "She or he?",
      template: "There was a little {child} named {name1}. {name2} was {mood}.",
      lists: {
        girls: "Lily Mia Lucy Amy Sue Anna Jane Sara Emma Mary".split(" "),
        boys: "Tim Tom Max Ben Jack Sam Bob John Timmy Billy".split(" "),
        moods,
      },
      cluster: ["name1", "mood"],
      draw: { girl: "girls", boy: "boys", mood: "moods" },
      cases: [
        {
          fill: { child: { word: "girl" }, name1: { slot: "girl" }, name2: { slot: "girl" } },
          answer: { word: "She" },
        },
        {
          fill: { child: { word: "boy" }, name1: { slot: "boy" }, name2: { slot: "boy" } },
          answer: { word: "He" },
        },
      ],
      known: "100 % of all 200 prompts",
    },
  ],
  text: {
    title: "Three short stories written for this project",
    file: "stories.txt",
    licence: "MIT",
  },
  missing: [
    {
      what: "arithmetic",
      why: "the model was trained on stories alone and cannot calculate",
      claims: [
        "attend-operands",
        "attend-operator",
        "null-operator",
        "shared-operations",
        "transfer-wording",
        "tuning-improves",
        "tuning-localised",
        "tuning-preserves",
      ],
    },
  ],
  notes: [
    "The pronoun task is already solved, so there is nothing for tuning to improve.",
    "What the claims say of the calculation is asked here of the pronoun.",
  ],
};
