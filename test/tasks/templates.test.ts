import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseTemplate, render } from "../../packages/keyheads/src/tasks/template.ts";
import {
  builtInTemplates,
  operations,
  readTemplates,
  templatesFromText,
} from "../../packages/keyheads/src/tasks/templates.ts";

const parse = (text: string) =>
  parseTemplate({ operation: "add", style: "statement", name: "x", text });

describe("built-in templates", () => {
  it.each(operations)("%s has at least 12, in three styles", (operation) => {
    const mine = builtInTemplates.filter((t) => t.operation === operation);
    expect(mine.length).toBeGreaterThanOrEqual(12);
    for (const style of ["equation", "statement", "question"]) {
      expect(mine.filter((t) => t.style === style).length).toBeGreaterThanOrEqual(4);
    }
    expect(new Set(mine.map((t) => t.name)).size).toBe(mine.length);
    const prompts = mine.map((t) => render(t, { a: 3, b: 4 }).prompt);
    expect(new Set(prompts).size).toBe(mine.length);
  });

  it("has every form under every operation, with an operator that differs", () => {
    for (const { name } of builtInTemplates) {
      const same = builtInTemplates.filter((t) => t.name === name);
      expect(same.map((t) => t.operation)).toEqual(operations);
      expect(new Set(same.map((t) => t.operator)).size).toBe(4);
    }
  });

  it("gives every prompt its roles by construction", () => {
    for (const template of builtInTemplates) {
      const { prompt, roles } = render(template, { a: 123, b: 45 });
      const text = (role: string) => prompt.slice(...(roles[role] as [number, number]));
      expect(text("operand1")).toBe("123");
      expect(text("operand2")).toBe("45");
      expect(text("operator")).toBe(template.operator);
      expect(text("equals").length).toBeGreaterThan(0);
      expect(prompt).toBe(prompt.trim());
    }
  });

  it("subtracts in the order of the words", () => {
    const form = builtInTemplates.find((t) => t.operation === "sub" && t.name === "if");
    expect(render(form as (typeof builtInTemplates)[number], { a: 9, b: 2 }).prompt).toBe(
      "If you subtract 2 from 9, you get",
    );
  });
});

describe("the syntax", () => {
  it("ends the prompt at {c} and knows whether a space separates", () => {
    expect(parse("{a}+{b}={c} apples").separator).toBe("");
    expect(parse("{a} + {b} = {c}").separator).toBe(" ");
    expect(parse("{a} + {b} =").separator).toBe(" ");
    expect(render(parse("{a} + {b} = {c} apples"), { a: 1, b: 2 }).prompt).toBe("1 + 2 =");
  });

  it("takes capitals, literals behind a backslash, slots and another operator", () => {
    const template = parse("\\[{N}\\] has {A} [and] {B} (is)");
    expect(template.slots).toEqual(["N"]);
    const filling = { a: 1, b: 2, slots: { N: "Tom" }, operator: "nothing" };
    const { prompt, roles } = render(template, filling);
    expect(prompt).toBe("[Tom] has 1 nothing 2 is");
    expect(roles.operator).toEqual([12, 19]);
  });

  it.each([
    ["{a} + 1", /\{b\} is missing/],
    ["{a} + {b} + {a}", /\{a\} stands 2 times/],
    ["{a} [+] {b} [-]", /\[\.\.\.\] stands 2 times/],
    ["{a} [+ {b}", /\[ is not closed/],
    ["{a} + {b", /\{ is not closed/],
  ])("refuses %s", (text, reason) => {
    expect(() => parse(text)).toThrow(reason);
  });

  it("refuses a slot that nothing fills", () => {
    expect(() => render(parse("{N} has {a} and {b}"), { a: 1, b: 2 })).toThrow(/slot \{N\}/);
  });
});

describe("template files", () => {
  const text = [
    "# wordings",
    "",
    "add statement total: The [total] of {a} and {b} (is)",
    "sub question: Q: {a} [less] {b}? (A:)\r",
  ].join("\n");

  it("are read line by line", () => {
    const templates = templatesFromText(`\ufeff${text}`, "t.txt");
    expect(templates.map((t) => [t.operation, t.style, t.name])).toEqual([
      ["add", "statement", "total"],
      ["sub", "question", "line-4"],
    ]);
    const second = templates[1] as (typeof templates)[number];
    expect(render(second, { a: 5, b: 3 }).prompt).toBe("Q: 5 less 3? A:");
  });

  it.each([
    ["add The sum of {a} and {b}", /t\.txt:1: expected "OPERATION STYLE \[NAME\]: TEXT"/],
    ["plus statement: {a} {b}", /t\.txt:1: operation "plus" is not one of add, sub, mul, div/],
    ["add prose: {a} {b}", /t\.txt:1: style "prose" is not one of/],
    ["add statement: {a}", /t\.txt:1: \{b\} is missing/],
    ["# nothing", /t\.txt has no templates/],
  ])("refuses %s", (line, reason) => {
    expect(() => templatesFromText(line, "t.txt")).toThrow(reason);
  });

  it("come from disk, or say why not", async () => {
    const folder = await mkdtemp(join(tmpdir(), "keyheads-templates-"));
    try {
      await writeFile(join(folder, "t.txt"), text);
      expect(await readTemplates(join(folder, "t.txt"))).toHaveLength(2);
      await expect(readTemplates(join(folder, "none"))).rejects.toThrow(
        /cannot read the templates/,
      );
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
