// GSM8K (Cobbe et al. 2021): solutions in words mark their calculations as <<16-3-4=9>>. Every mark is
// a site: the question and the gold solution up to it are the prompt, what it comes to is the answer.
import { z } from "zod";
import { bad } from "../line.ts";
import { parseEquation, writeNumber } from "./equation.ts";
import {
  clusterName,
  findNumbers,
  operandRoles,
  operationOf,
  otherNumbers,
  type Problem,
} from "./problem.ts";

const entry = z.looseObject({ question: z.string(), answer: z.string() });
const mark = /<<([^<>=]*)=([^<>]*)>>/g;

export interface Gsm8kOptions {
  readonly name: string;
  readonly format: string;
  readonly seed: number;
  /** text: marks are left out, as a reader sees the solution. calculator: they stay. */
  readonly marks: "text" | "calculator";
}

/** One function a line; each gives the sites of a problem. */
export function readGsm8k(text: string, options: Gsm8kOptions): (() => Problem[])[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line, i) => () => {
    let value: unknown;
    try {
      value = JSON.parse(line);
    } catch (cause) {
      throw bad(`not JSON: ${(cause as Error).message}`);
    }
    const parsed = entry.safeParse(value);
    if (!parsed.success) throw bad("no question and answer in text");
    return sitesOf(parsed.data, i + 1, options);
  });
}

function sitesOf(
  { question, answer }: z.infer<typeof entry>,
  number: number,
  { name, format, seed, marks }: Gsm8kOptions,
): Problem[] {
  const sites = [...answer.matchAll(mark)];
  return sites.flatMap((site, i): Problem[] => {
    const equation = parseEquation(site[1] as string);
    const result = equation && writeNumber(equation.solve(equation.numbers));
    const said = Number((site[2] as string).replace(/[,$%]/g, ""));
    // Rounded results and other slips are no calculation that could be right.
    if (!equation || result === undefined || Number(result) !== said) return [];
    const start = format.replace("{question}", () => question.trim());
    const solution = answer.slice(0, site.index);
    const written =
      marks === "calculator" ? `${solution}<<${site[1]}=` : solution.replace(mark, "");
    const whole = `${start} ${written}`;
    const prompt = whole.trimEnd();
    const id = `${name}-${number}-${i + 1}`;
    const spans = findNumbers(prompt, equation.numbers, "last").map((span) =>
      span && span[0] >= start.length ? span : undefined,
    );
    return [
      {
        id,
        group: operationOf(equation),
        template: name,
        cluster: clusterName(equation.numbers, said),
        prompt,
        separator: prompt === whole ? "" : " ",
        answer: result,
        roles: operandRoles(spans),
        counterfactuals: otherNumbers({ prompt, id }, equation, spans, seed),
      },
    ];
  });
}
