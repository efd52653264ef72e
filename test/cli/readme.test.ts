// What the README shows must run: its library example, on the planted model, and its commands.
import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { keyheads, planted, problems, root, scratch } from "./keyheads.ts";

const readme = readFileSync(join(root, "README.md"), "utf8");

test("the library example runs", () => {
  const example = /```ts\n((?:.|\n)+?)```/.exec(readme)?.[1] ?? "";
  const script = `${example
    .replaceAll('"./my-model"', JSON.stringify(planted))
    .replaceAll('"items.jsonl"', JSON.stringify(problems))
    .replaceAll('"./tuned"', JSON.stringify(join(scratch(), "tuned")))}
console.log(JSON.stringify([effects.keyHeads, proof.curve.length, captures[0].length, argmax?.length, tuned.isolation.unselectedChanged]));
`;
  // Inside the checkout, so that "keyheads" is found as an installation would find it.
  const file = join(root, "node_modules", ".readme-example.mts");
  writeFileSync(file, script);
  onTestFinished(() => rmSync(file));
  const output = execFileSync(join(root, "node_modules", ".bin", "tsx"), [file], {
    cwd: root,
    encoding: "utf8",
  });
  const [keyHeads, ...numbers] = JSON.parse(output) as [string[], ...number[]];
  expect([...keyHeads].sort()).toEqual(["0.2", "0.6", "1.5"]);
  expect(numbers).toEqual([4, 300 * 12, 300, 0]);
});

test("the examples of docs/hooks.md run", () => {
  const document = readFileSync(join(root, "docs/hooks.md"), "utf8");
  const blocks = [...document.matchAll(/```ts\n((?:.|\n)+?)```/g)].map(([, block]) => block);
  expect(blocks).toHaveLength(7);
  const folder = JSON.stringify(join(root, "test/fixtures/llama"));
  const file = join(root, "node_modules", ".hooks-example.mts");
  const count =
    "console.log(logits?.length, cache.size, some.cache.size, out.logits?.length, found.gradients[0]?.length);";
  writeFileSync(file, `${blocks.join("\n").replace('"./my-model"', folder)}\n${count}\n`);
  onTestFinished(() => rmSync(file));
  const tsx = join(root, "node_modules", ".bin", "tsx");
  const output = execFileSync(tsx, [file], { cwd: root, encoding: "utf8" });
  expect(output.trim()).toMatch(/^\d{3,} \d{2,} 4 \d{3,} 1$/);
});

test("every command and option that it names exists", async () => {
  const lines = readme.match(/^(?:\$ \.\/node_modules\/\.bin\/)?keyheads .*$/gm) ?? [];
  expect(lines.length).toBeGreaterThan(10);
  const used = new Map<string, Set<string>>();
  for (const line of lines) {
    const [, name = ""] = /keyheads ([\w-]+)/.exec(line) ?? [];
    const options = line.match(/--[a-z-]+/g) ?? [];
    used.set(name, new Set([...(used.get(name) ?? []), ...options]));
  }
  for (const [name, options] of used) {
    const { code, stdout } = await keyheads(name, "--help");
    expect(code, name).toBe(0);
    for (const option of options) expect(stdout).toContain(`  ${option}`);
  }
});
