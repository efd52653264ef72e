// Numbers without calculation: copying, lists and recall. They teach that a number may follow for
// other reasons than a sum, and the model to look up what stood in the prompt.
import type { ArithmeticCard } from "@keyheads/models";
import type { Rng } from "../../statistics/rng.ts";
import { pick } from "./arithmetic.ts";
import { answer, type Document, given, type Piece, plain, type Source } from "./document.ts";

/** One of the forms below, each equally likely. */
export function numberDocuments(card: ArithmeticCard): Source {
  const forms = [copy, place, (random: Rng) => recall(card, random), key];
  return (random) => pick(forms, random)(random, card.largest + 1);
}

/** "Copy: 7 12 45 = 7 12 45" */
function copy(random: Rng, below: number): Document {
  const numbers = draw(2 + random.int(4), random, below);
  return [
    plain("Copy:"),
    ...numbers.flatMap((n): Piece[] => [plain(" "), given(n)]),
    plain(" ="),
    ...numbers.flatMap((n): Piece[] => [plain(" "), answer(n)]),
    plain("\n"),
  ];
}

/** "List: 7, 12, 45. The first is 7" */
function place(random: Rng, below: number): Document {
  const numbers = draw(3, random, below);
  const at = random.int(3);
  return [
    plain("List: "),
    ...numbers.flatMap((n, i): Piece[] => [plain(i === 0 ? "" : ", "), given(n)]),
    plain(`. The ${["first", "second", "last"][at]} is `),
    answer(numbers[at] as number),
    plain("\n"),
  ];
}

/** "Anna has 12 apples. Tom has 7 apples. Tom has 7" */
function recall({ slots, largest }: ArithmeticCard, random: Rng): Document {
  const people = random.sample(slots.N ?? [], 2 + random.int(2));
  const thing = pick(slots.t ?? [], random);
  const numbers = draw(people.length, random, largest + 1);
  const asked = random.int(people.length);
  return [
    ...people.flatMap((name, i): Piece[] => [
      given(name),
      plain(" has "),
      given(numbers[i] as number),
      plain(` ${thing}. `),
    ]),
    given(people[asked] as string),
    plain(" has "),
    answer(numbers[asked] as number),
    plain(` ${thing}.\n`),
  ];
}

/** "a: 12, b: 7, c: 45. b: 7" */
function key(random: Rng, below: number): Document {
  const letters = random.sample([..."abcdefgh"], 2 + random.int(2));
  const numbers = draw(letters.length, random, below);
  const asked = random.int(letters.length);
  return [
    ...letters.flatMap((letter, i): Piece[] => [
      plain(i === 0 ? "" : ", "),
      given(letter),
      plain(": "),
      given(numbers[i] as number),
    ]),
    plain(". "),
    given(letters[asked] as string),
    plain(": "),
    answer(numbers[asked] as number),
    plain("\n"),
  ];
}

function draw(count: number, random: Rng, below: number): number[] {
  return Array.from({ length: count }, () => random.int(below));
}
