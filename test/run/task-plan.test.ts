// What `run arith` asks: the control can do its task, and tuning learns wordings that are new to the
// model on facts that it is not judged on.
import { bundledModels } from "@keyheads/models";
import { describe, expect, test } from "vitest";
import { Model } from "../../packages/keyheads/src/model.ts";
import { taskPlan } from "../../packages/keyheads/src/run/task-plan.ts";
import { appliedTasks } from "../../packages/keyheads/src/tasks/applied.ts";

const bundled = bundledModels.find(({ name }) => name === "arith");
if (!bundled) throw new Error("arith is not bundled");

/** The prompts of an answer set as text. */
function prompts(
  model: Model,
  {
    tokens,
    offsets,
    answerStarts,
  }: { tokens: Int32Array; offsets: Int32Array; answerStarts: Int32Array },
): string[] {
  return [...answerStarts].map((start, i) => {
    const first = offsets[i] as number;
    return model.needTokenizer().decode([...tokens.subarray(first, first + start)]);
  });
}
/** The two numbers of a prompt, in any order. */
const factOf = (prompt: string) => (prompt.match(/\d+/g) ?? []).map(Number).sort().join();

describe("taskPlan for arith", () => {
  test("compares with what the model can do, and tunes on wordings that are new to it", async () => {
    using model = await Model.load(bundled.folder);
    const plan = await taskPlan(model, bundled.card, bundled, { seed: 0 });
    expect(plan.questions.map(({ name, control }) => [name, control?.title])).toEqual([
      ["add", "who-received"],
    ]);
    const names = plan.classes.map(({ name }) => name);
    for (const applied of appliedTasks) expect(names).not.toContain(applied);
    expect(names).toEqual(
      expect.arrayContaining([
        "add",
        "sub",
        "text",
        "add, withheld wording",
        "add, held-out facts",
      ]),
    );
    const { tuning } = plan;
    if (!tuning) throw new Error("the plan has no tuning");
    expect(tuning.target).toBe("add, unfamiliar wordings");
    expect(names).toContain(tuning.target);

    const target = plan.classes.find(({ name }) => name === tuning.target);
    const tested = prompts(model, target?.set as never);
    const learned = prompts(model, tuning.train as never);
    const chosen = prompts(model, tuning.dev as never);
    expect([learned.length, chosen.length, tested.length]).toEqual([512, 150, 300]);
    for (const prompt of [...learned, ...chosen, ...tested]) {
      expect(prompt).toMatch(/total of|increased by|together with|added to/);
    }
    const facts = new Set(learned.map(factOf));
    for (const prompt of [...chosen, ...tested]) expect(facts).not.toContain(factOf(prompt));
    // What the example shows is an item of these.
    expect(plan.examples?.every(({ prompt = "" }) => tested.includes(prompt))).toBe(true);
    // Everything else is what harm is seen on.
    for (const prompt of prompts(model, tuning.devOther as never)) {
      expect(prompt).not.toMatch(/increased by|together with/);
    }
  });

  test("without a rule of what training left out, the task itself is tuned", async () => {
    const demo = bundledModels.find(({ name }) => name === "arith-demo");
    if (!demo) throw new Error("arith-demo is not bundled");
    using model = await Model.load(demo.folder);
    const plan = await taskPlan(model, demo.card, demo, { seed: 0, task: ["mul"] });
    expect(plan.tuning?.target).toBe("mul");
    expect(plan.tuning?.points).toBeUndefined();
    expect(plan.examples).toBeUndefined();
  });
});
