// SVAMP (Patel et al. 2021), AddSub, SingleEq and MultiArith (of MAWPS, Koncel-Kedziorski et al. 2016):
// a story, a question and an equation. Both their original files and the instruction files of
// LLM-Adapters are read; the latter have no equation.
import { z } from "zod";
import { bad } from "../line.ts";
import { type Equation, parseEquation, writeNumber } from "./equation.ts";
import {
  clusterName,
  findNumbers,
  operandRoles,
  operationOf,
  otherNumbers,
  type Problem,
} from "./problem.ts";

const number = z.union([z.number(), z.string()]).transform(Number).pipe(z.number());
const svamp = z.looseObject({
  ID: z.string(),
  Body: z.string(),
  Question: z.string(),
  Equation: z.string(),
  Answer: number,
});
const mawps = z.looseObject({
  iIndex: z.int(),
  sQuestion: z.string(),
  lEquations: z.array(z.string()),
  lSolutions: z.array(number).min(1),
});
const instruction = z.looseObject({ instruction: z.string(), answer: number });

interface Story {
  readonly id?: string;
  readonly question: string;
  readonly equation?: string | undefined;
  readonly answer: number;
}

const entry = z.union([
  svamp.transform(
    ({ ID, Body, Question, Equation, Answer }): Story => ({
      ...{ id: ID, question: joined(Body, Question), equation: Equation, answer: Answer },
    }),
  ),
  mawps.transform(
    ({ iIndex, sQuestion, lEquations, lSolutions }): Story => ({
      ...{ id: String(iIndex), question: tidy(sQuestion), answer: lSolutions[0] as number },
      equation: lEquations.length === 1 ? lEquations[0] : undefined,
    }),
  ),
  instruction.transform(
    ({ instruction, answer }): Story => ({ question: tidy(instruction), answer }),
  ),
]);

export interface WordProblemOptions {
  readonly name: string;
  /** Where {question} stands, the question; ends where the answer begins. */
  readonly format: string;
  readonly seed: number;
}

/** One function an entry, so that a bad one is reported by itself. Throws BAD_ITEMS for no list. */
export function readWordProblems(
  text: string,
  { name, format, seed }: WordProblemOptions,
): (() => Problem)[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    throw bad(`${name}: not JSON: ${(cause as Error).message}`);
  }
  if (!Array.isArray(list)) throw bad(`${name}: expected a JSON list of problems`);
  return list.map((value: unknown, i) => () => {
    const parsed = entry.safeParse(value);
    if (!parsed.success) {
      throw bad("no problem with Body, Question, Equation and Answer, sQuestion or instruction");
    }
    return toProblem({ id: String(i + 1), ...parsed.data }, name, format, seed);
  });
}

function toProblem(
  story: Story & { id: string },
  name: string,
  format: string,
  seed: number,
): Problem {
  const answer = writeNumber(story.answer);
  if (answer === undefined) throw bad(`the answer ${story.answer} is no short decimal`);
  const at = format.indexOf("{question}");
  const prompt = format.replace("{question}", () => story.question);
  const id = `${name}-${story.id}`;
  const equation = checked(story);
  const spans = equation
    ? findNumbers(story.question, equation.numbers, "first").map(
        (span) => span && ([span[0] + at, span[1] + at] as const),
      )
    : [];
  return {
    id,
    group: equation ? operationOf(equation) : name,
    template: name,
    cluster: equation ? clusterName(equation.numbers, story.answer) : id,
    ...{ prompt, separator: " ", answer },
    roles: operandRoles(spans),
    counterfactuals: equation ? otherNumbers({ prompt, id }, equation, spans, seed) : [],
  };
}

/** The equation if it comes to the answer. */
function checked({ equation: text, answer }: Story): Equation | undefined {
  const equation = text === undefined ? undefined : parseEquation(text);
  return equation && Math.abs(equation.solve(equation.numbers) - answer) < 1e-6
    ? equation
    : undefined;
}

function joined(body: string, question: string): string {
  const story = tidy(body);
  if (/[.?!]$/.test(story)) return tidy(`${story} ${question}`);
  // "If there is a discount", "How much": one sentence.
  const rest = question.charAt(0).toLowerCase() + question.slice(1);
  return tidy(`${story.replace(/,$/, "")}, ${rest}`);
}

/** One space between words, none before a full stop. */
function tidy(text: string): string {
  return text
    .replace(/\s+/g, " ")
    .replace(/ ([.,?!])/g, "$1")
    .trim();
}
