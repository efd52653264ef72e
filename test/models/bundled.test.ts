import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseTemplate } from "../../packages/keyheads/src/tasks/template.ts";
import {
  type BundledModel,
  bundledModels,
  paperClaims,
  textFile,
} from "../../packages/models/src/index.ts";

const byName = (name: string) => bundledModels.find((m) => m.name === name) as BundledModel;

describe("bundled models", () => {
  it("are these, the demo's default first", () => {
    expect(bundledModels.map(({ name }) => name)).toEqual([
      "mathgpt_add3_h4_l4",
      "mathgpt_add3_h2_l3",
      "mathgpt_add3_h2_l2",
      "stories260K",
      "arith-demo",
      "arith",
    ]);
  });

  describe.each(bundledModels)("$name", ({ name, folder, licence, card, title, origin }) => {
    it("is a whole Hugging Face folder with its licence", () => {
      for (const file of [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "LICENSE",
        "README.md",
      ]) {
        expect(existsSync(join(folder, file)), file).toBe(true);
      }
      expect(folder.endsWith(name)).toBe(true);
      expect(licence).toBe("MIT");
      expect(readFileSync(join(folder, "LICENSE"), "utf8")).toMatch(/^MIT License/);
      expect(`${title}${origin}`).not.toBe("");
    });

    it("can be overwritten, so that copies of it can be tuned", () => {
      for (const file of readdirSync(folder)) {
        expect(statSync(join(folder, file)).mode & 0o200, file).toBe(0o200);
      }
    });

    it("has a card that holds together", () => {
      const { discover, dev, test } = card.splits;
      expect(discover + dev + test).toBeCloseTo(1, 12);
      const tasks = [
        ...(card.digits?.questions ?? []).map((q) => q.name),
        ...(card.arithmetic?.operations ?? []),
        ...(card.words ?? []).map((w) => w.name),
      ];
      expect(new Set(tasks).size).toBe(tasks.length);
      expect(tasks).toContain(card.defaultTask);
      if (card.text)
        expect(readFileSync(textFile(card.text.file), "utf8").length).toBeGreaterThan(1500);
      const claims = paperClaims.map(({ id }) => id as string);
      expect(new Set(claims).size).toBe(claims.length);
      for (const entry of card.missing) {
        expect(entry.claims.length).toBeGreaterThan(0);
        for (const claim of entry.claims) expect(claims).toContain(claim);
      }
      for (const question of card.digits?.questions ?? []) {
        const names = card.digits?.classes.map((entry) => entry.name);
        expect(names).toContain(question.class);
        if (question.control) expect(tasks).toContain(question.control);
      }
      for (const template of card.arithmetic?.templates ?? []) {
        const parsed = parseTemplate(template);
        for (const slot of parsed.slots)
          expect(card.arithmetic?.slots[slot]?.length).toBeGreaterThan(1);
      }
    });
  });

  it("say that operators and text cannot be tested on digit sums", () => {
    const claims = byName("mathgpt_add3_h4_l4").card.missing.flatMap((entry) => entry.claims);
    expect(claims).toEqual(
      expect.arrayContaining(["attend-operator", "null-operator", "tuning-preserves"]),
    );
    expect(byName("arith-demo").card.missing).toEqual([]);
  });

  it("arith's unfamiliar wordings have operator words that no trained or withheld wording has", () => {
    const { arithmetic } = byName("arith").card;
    const unfamiliar = arithmetic?.training?.unfamiliar ?? [];
    const operatorOf = (text: string) => /\[(.*?)\]/.exec(text)?.[1];
    const known = new Set(
      arithmetic?.templates.filter(({ style }) => style !== "story").map((t) => operatorOf(t.text)),
    );
    expect(known).toContain("divided by");
    for (const operation of arithmetic?.operations ?? []) {
      const own = unfamiliar.filter((template) => template.operation === operation);
      expect(own).toHaveLength(4);
      expect(new Set(own.map(({ name }) => name)).size).toBe(4);
      for (const template of own) {
        expect(parseTemplate(template).slots).toEqual([]);
        expect(known).not.toContain(operatorOf(template.text));
      }
    }
  });

  it("arith-demo's card says what its tasks.json says", () => {
    const { folder, card } = byName("arith-demo");
    const tasks = JSON.parse(readFileSync(join(folder, "tasks.json"), "utf8"));
    const { arithmetic, words = [] } = card;
    expect(arithmetic?.operands).toEqual({ min: 0, max: tasks.operands_below - 1 });
    expect(arithmetic?.heldOut).toEqual(tasks.held_out_pairs);
    expect(arithmetic?.slots).toEqual({ N: tasks.names, t: tasks.things });
    const plain = (text: string) => text.replace(/[[\]()]/g, "");
    for (const operation of arithmetic?.operations ?? []) {
      const expected: string[] = [
        ...tasks.templates.map((template: string) =>
          template
            .replace("{s}", tasks.symbols[operation])
            .replace("{w}", tasks.words[operation])
            .replace("{n}", tasks.nouns[operation]),
        ),
        ...tasks.stories[operation],
      ];
      const mine = arithmetic?.templates.filter((t) => t.operation === operation);
      expect(mine?.map((t) => plain(t.text))).toEqual(expected);
    }
    const task = (name: string) => words.find((w) => w.name === name);
    const received = task("who-received");
    expect(`${received?.template} {receiver}.`).toBe(
      tasks.who_received.replace("{X}", "{name1}").replace("{Y}", "{name2}"),
    );
    const { names, places, objects } = tasks;
    expect(received?.lists).toEqual({ names, places, objects });
    const color = task("which-color");
    expect(`${color?.template} {c}.`).toBe(
      tasks.which_color
        .replace("{x}", "{asked}")
        .replace(/\{x(\d)\}/g, "{animal$1}")
        .replace(/\{c(\d)\}/g, "{color$1}"),
    );
    expect(color?.lists).toEqual({ animals: tasks.animals, colors: tasks.colors });
  });
});
