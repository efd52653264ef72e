/** Roles, word lists and control tasks that the arithmetic models share. */
import type { RoleCard, TemplateCard, WordTask } from "../card.ts";

const names =
  "Mary John Tom Anna James Kate Paul Lucy Mark Jane Peter Emma David Alice Sam Rose".split(" ");
const things = "apples books coins cards eggs shells stamps marbles pens cups".split(" ");
const colors = "red blue green black white yellow pink brown".split(" ");

/** Words for the slots of `stories`. */
export const storySlots = { N: names, t: things };

export const arithmeticRoles: readonly RoleCard[] = [
  { name: "operand1", title: "first operand", spans: ["operand1"] },
  { name: "operator", title: "operator sign or word", spans: ["operator"] },
  { name: "operand2", title: "second operand", spans: ["operand2"] },
  { name: "equals", title: "the words that call for the answer", spans: ["equals"] },
  { name: "bos", title: "begin of text", spans: ["bos"] },
];

export const stories: readonly TemplateCard[] = [
  {
    operation: "add",
    style: "story",
    name: "buys",
    text: "{N} has {a} {t} and buys {b} more. Now {N} has {c} {t}.",
  },
  {
    operation: "add",
    style: "story",
    name: "boxes",
    text: "There are {a} {t} in one box and {b} {t} in another. In all there are {c} {t}.",
  },
  {
    operation: "sub",
    style: "story",
    name: "gives",
    text: "{N} has {a} {t} and gives away {b}. Now {N} has {c} {t}.",
  },
  {
    operation: "sub",
    style: "story",
    name: "lost",
    text: "Of {a} {t}, {b} are lost. There remain {c} {t}.",
  },
  {
    operation: "mul",
    style: "story",
    name: "in-each",
    text: "{N} has {a} boxes with {b} {t} in each. In all {N} has {c} {t}.",
  },
  {
    operation: "div",
    style: "story",
    name: "shares",
    text: "{N} shares {a} {t} among {b} friends. Each friend gets {c} {t}.",
  },
];

/** `known`: the model's accuracy. */
export const whoReceived = (known: string): WordTask => ({
  name: "who-received",
  title: "Who received the object?",
  template: "When {name1} and {name2} went to the {place}, {giver} gave a {object} to",
  lists: {
    names,
    places: ["store", "school", "park", "office", "garden", "station"],
    objects: ["drink", "book", "ring", "key", "letter", "map", "cake", "kite"],
  },
  cluster: ["name1", "name2"],
  draw: { name1: "names", name2: "names", place: "places", object: "objects" },
  cases: [
    { fill: { giver: { slot: "name1" } }, answer: { slot: "name2" } },
    { fill: { giver: { slot: "name2" } }, answer: { slot: "name1" } },
  ],
  known,
});

/** `known`: the model's accuracy. */
export const whichColor = (known: string): WordTask => ({
  name: "which-color",
  title: "Which colour is the animal?",
  template:
    "The {animal1} is {color1}. The {animal2} is {color2}. The {animal3} is {color3}. " +
    "What color is the {asked}? It is",
  lists: { animals: ["cat", "dog", "horse", "bird", "fish", "cow", "fox", "hen"], colors },
  cluster: ["color1", "color2", "color3"],
  draw: {
    animal1: "animals",
    color1: "colors",
    animal2: "animals",
    color2: "colors",
    animal3: "animals",
    color3: "colors",
  },
  cases: [
    { fill: { asked: { slot: "animal1" } }, answer: { slot: "color1" } },
    { fill: { asked: { slot: "animal2" } }, answer: { slot: "color2" } },
    { fill: { asked: { slot: "animal3" } }, answer: { slot: "color3" } },
  ],
  known,
});
