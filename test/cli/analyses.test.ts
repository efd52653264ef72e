// Every analysis as a command, on the planted model whose circuit is known.
import { cpSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { failure, fixture, json, keyheads, planted, problems, scratch } from "./keyheads.ts";

const truth = JSON.parse(readFileSync(join(planted, "truth.json"), "utf8")) as {
  heads: { layer: number; head: number }[];
  mlps: { layer: number }[];
};
const plantedHeads = truth.heads.map(({ layer, head }) => `${layer}.${head}`).sort();
const plantedMlps = truth.mlps.map(({ layer }) => layer).sort();
const items = ["--items", problems];
const quick = ["--draws", "20"];
/** What every result with a model has. */
const shared = {
  schemaVersion: 1,
  model: "planted",
  device: "cpu",
  dtype: "f32",
  seconds: expect.any(Number),
  loadSeconds: expect.any(Number),
  peakBytes: expect.any(Number),
};

describe("identify", () => {
  test("finds exactly the planted heads and MLPs", async () => {
    const result = await json(["identify", planted, ...items, ...quick]);
    expect(result).toMatchObject({
      ...shared,
      method: "exact",
      effect: "logit-difference",
      items: { used: 300, dropped: [] },
    });
    expect([...(result.keyHeads as string[])].sort()).toEqual(plantedHeads);
    expect([...(result.keyMlps as number[])].sort()).toEqual(plantedMlps);
    expect(result.heads).toHaveLength(4);
    expect((result.heads as number[][])[0]).toHaveLength(8);
    expect((result.headCI as number[][][])[0]?.[0]).toHaveLength(2);
  });

  test("shows a table with effect, interval and share", async () => {
    const { code, stdout, stderr } = await keyheads("identify", planted, ...items, ...quick);
    expect(code, stderr).toBe(0);
    expect(stdout).toMatch(/^head +effect +95 % interval +share/m);
    expect(stdout).toMatch(/^ *0\.6 +-16\.\d+ +\(-1[67]\.\d+ to -1[56]\.\d+\) +5\d\.\d % +key$/m);
    expect(stdout).toMatch(/^key MLPs: /m);
    expect(stdout).not.toContain("\u001b");
  });

  test.each([
    ["naive", ["--method", "naive"]],
    ["activation", ["--method", "activation", "--positions", "all"]],
  ])("%s is a method too", async (method, args) => {
    const result = await json(["identify", planted, ...items, ...quick, ...args]);
    expect(result).toMatchObject({ method });
  });

  test("the negative control has no key heads", async () => {
    const args = ["--counterfactual", "self"];
    const result = await json(["identify", planted, ...items, ...quick, ...args]);
    expect(result).toMatchObject({ keyHeads: [], totalEffect: 0 });
  });

  test("a test with a minimum effect names key heads too", async () => {
    const args = ["--alpha", "0.01", "--minimum-share", "0.1"];
    const result = await json(["identify", planted, ...items, ...quick, ...args]);
    expect([...(result.keyHeads as string[])].sort()).toEqual(plantedHeads);
    expect((result.headP as number[][])[0]).toHaveLength(8);
    const wrong = ["identify", planted, ...items, "--minimum-share", "0.1"];
    expect(await failure(wrong, 2)).toMatch(/give --alpha/);
  });

  test("--split keeps discovery and evaluation apart", async () => {
    const folder = scratch();
    const file = join(folder, "split.jsonl");
    const lines = readFileSync(problems, "utf8").trim().split("\n").slice(0, 60);
    const labels = lines.map((line, i) =>
      JSON.stringify({ ...JSON.parse(line), cluster: `c${i}`, split: i % 2 ? "discover" : "test" }),
    );
    writeFileSync(file, labels.join("\n"));
    const out = join(folder, "identify.json");
    const found = await json([
      ...["identify", planted, "--items", file, ...quick, "--split", "discover", "--out", out],
    ]);
    expect(found).toMatchObject({ items: { used: 30 } });
    const remove = ["knockout", planted, "--items", file, "--from", out, "--random", "0"];
    expect(await json([...remove, "--split", "test"])).toMatchObject({
      items: { used: 30 },
      sharedClusters: 0,
    });
    expect(await failure([...remove, "--split", "discover"], 1)).toMatch(
      /30 clusters, such as "c1"/,
    );
    const all = await keyheads(...remove);
    expect(all.stderr).toMatch(/30 clusters were used to find these heads too/);
  });

  test("what was not asked for is null", async () => {
    const result = await json(["identify", planted, ...items, ...quick, "--senders", "mlps"]);
    expect((result.heads as unknown[][])[0]?.[0]).toBeNull();
    expect((result.mlps as unknown[])[0]).toEqual(expect.any(Number));
  });

  test("f64 agrees with f32", async () => {
    const [a, b] = [
      await json(["identify", planted, ...items, ...quick]),
      await json(["identify", planted, ...items, ...quick, "--dtype", "f64", "--threads", "1"]),
    ];
    expect(b.dtype).toBe("f64");
    const [x, y] = [a, b].map((result) => (result.heads as number[][]).flat());
    const deviation = Math.max(...(x as number[]).map((v, i) => Math.abs(v - (y?.[i] as number))));
    expect(deviation).toBeLessThan(1e-4);
  });

  test("--dry-run plans without computing", async () => {
    const result = await json(["identify", planted, ...items, "--dry-run"]);
    expect(result).toMatchObject({ dryRun: true, plan: { fits: true, memoryBudget: null } });
    const { stdout } = await keyheads("identify", planted, ...items, "--dry-run");
    expect(stdout).toMatch(/END-row chain(.|\n)*nothing was computed/);
  });
});

describe("single heads and neurons", () => {
  const roles = () => {
    const file = join(scratch(), "roles.jsonl");
    const lines = readFileSync(problems, "utf8").trim().split("\n").slice(0, 60);
    const spans = { operand1: [0, 1], operator: [1, 2], operand2: [2, 3] };
    const labelled = lines.map((line) => JSON.stringify({ ...JSON.parse(line), role_ids: spans }));
    writeFileSync(file, labelled.join("\n"));
    return ["--items", file, ...quick];
  };

  test("contributions name the MLP that looks the answer up, and its neurons", async () => {
    const args = ["contributions", planted, ...roles(), "--neurons", "3"];
    const result = await json(args);
    expect(result).toMatchObject({ ...shared, total: expect.any(Number) });
    // MLP 3 looks up sums and differences, which these items are.
    const mlps = result.mlps as number[];
    expect(mlps.indexOf(Math.max(...mlps))).toBe(3);
    expect(Math.max(...mlps) / (result.total as number)).toBeCloseTo(1, 1);
    const neurons = result.neurons as { layer: number; promotes: string[] }[];
    expect(neurons.map(({ layer }) => layer)).toEqual([3, 3, 3]);
    const { stdout } = await keyheads(...args);
    expect(stdout).toMatch(/^neuron +logit +95 % interval +activation +promotes/m);
  });

  test("ov shows by role what heads read and write", async () => {
    const args = ["ov", planted, ...roles(), "--heads", plantedHeads.join()];
    const result = await json(args);
    const heads = result.heads as {
      head: string;
      roles: Record<string, { score: { mean: number } }>;
    }[];
    expect(heads.map(({ head }) => head)).toEqual(plantedHeads);
    // A planted head points at what the truth says it reads: one role far above the others.
    for (const { roles } of heads) {
      const scores = Object.values(roles).map(({ score }) => score.mean);
      expect(Math.max(...scores)).toBeGreaterThan(1);
    }
    expect((await keyheads(...args)).stdout).toMatch(/^head +\|OV\| +\|QK\| +role/m);
    const bare = ["ov", planted, ...items, "--heads", "0.1"];
    expect(await failure(bare, 1)).toMatch(/no item names a role/);
  });

  test("controls and robustness say that the planted heads are no accident", async () => {
    const result = await json(["controls", planted, ...items, ...quick]);
    expect(result).toMatchObject({ ...shared, pass: true, untrained: { keyHeads: [] } });
    const table = await json(["robustness", planted, ...roles().slice(0, 2), "--top", "3"]);
    expect([...(table.keyHeads as string[])].sort()).toEqual(plantedHeads);
    const rows = table.rows as { dimension: string; jaccard: number }[];
    expect(rows.filter(({ jaccard }) => jaccard === 1).length).toBeGreaterThan(rows.length / 2);
  });
});

describe("circuit", () => {
  test("weighs a circuit and writes one that can be read back", async () => {
    const folder = scratch();
    const file = join(folder, "circuit.json");
    const few = join(folder, "few.jsonl");
    writeFileSync(few, readFileSync(problems, "utf8").split("\n").slice(0, 60).join("\n"));
    const parts = ["--heads", plantedHeads.join(), "--mlps", plantedMlps.join()];
    const args = [
      "circuit",
      planted,
      "--items",
      few,
      "--ablation",
      "counterfactual",
      "--subsets",
      "4",
    ];
    const result = await json([...args, ...parts, "--random", "3", "--save-circuit", file]);
    expect(result).toMatchObject({ ...shared, mlpsOutside: "removed", of: 36 });
    expect((result.faithfulness as { mean: number }).mean).toBeCloseTo(1, 1);
    const again = await json([...args, "--circuit", file, "--random", "3"]);
    expect(again.faithfulness).toEqual(result.faithfulness);
    const { stdout } = await keyheads(...args, "--circuit", file, "--random", "2");
    expect(stdout).toMatch(/^faithfulness +(1\.0|0\.9)\d+ \(/m);
    expect(stdout).toMatch(/^mlp 3 +\d+\.\d+ +\d+\.\d %/m);
    const both = await failure([...args, "--circuit", file, "--heads", "0.1"], 2);
    expect(both).toMatch(/--circuit excludes --heads/);
    writeFileSync(file, "{}");
    expect(await failure([...args, "--circuit", file], 1)).toMatch(/circuit\.json: cfg/);
  });

  test("weighs edges of a result, and of a file that is written and read back", async () => {
    const folder = scratch();
    const [few, eap, file] = ["few.jsonl", "eap.json", "circuit.json"].map((name) =>
      join(folder, name),
    ) as [string, string, string];
    writeFileSync(few, readFileSync(problems, "utf8").split("\n").slice(0, 40).join("\n"));
    const of = ["--items", few];
    await json(["identify", planted, ...of, "--method", "eap-ig", "--edges", "9999", "--out", eap]);
    const args = ["circuit", planted, ...of];
    const result = await json([...args, "--from", eap, "--edges", "12", "--save-circuit", file]);
    expect(result).toMatchObject({ level: "edges", of: 1519, ablation: "counterfactual" });
    expect(result.components).toHaveLength(12);
    expect((result.faithfulness as { mean: number }).mean).toBeGreaterThan(0.8);
    expect(result.cpr).toBeGreaterThan(0.9);
    const again = await json([...args, "--circuit", file]);
    expect(again.faithfulness).toEqual(result.faithfulness);
    expect(again.cpr).toBeCloseTo(result.cpr as number, 6);
    const nodes = ["--circuit", file, "--level", "nodes", "--subsets", "0"];
    expect(await json([...args, ...nodes])).toMatchObject({ level: "nodes", of: 36 });
    const { stdout } = await keyheads(...args, "--circuit", file);
    expect(stdout).toMatch(/40 items; 12 of 1519 edges; counterfactual ablation/);

    const wrong = (...more: string[]) => failure([...args, ...more], 2);
    expect(await wrong("--circuit", file, "--ablation", "mean", "--positions", "end")).toMatch(
      /--ablation mean and --positions end: along edges outside/,
    );
    expect(await wrong("--circuit", file, "--edges", "3")).toMatch(/--circuit excludes --edges/);
    expect(await wrong("--edges", "3")).toMatch(/--edges takes the strongest edges of --from/);
    expect(await wrong("--from", eap, "--edges", "2000")).toMatch(/has 1519 edges; make it with/);
    expect(await wrong("--level", "edges")).toMatch(/--level edges needs --circuit/);
    const exact = join(folder, "exact.json");
    await json(["identify", planted, ...of, ...quick, "--out", exact]);
    expect(await wrong("--from", exact, "--edges", "3")).toMatch(/has no edges: make it with/);
  });

  test("follows the ranking of a result over sizes", async () => {
    const out = join(scratch(), "identify.json");
    await json(["identify", planted, ...items, ...quick, "--out", out]);
    const result = await json(["circuit", planted, ...items, "--from", out, "--subsets", "0"]);
    expect(result).toMatchObject({ mlpsOutside: "kept", cpr: expect.any(Number) });
    const [signed] = result.sizes as { points: { k: number; faithfulness: number }[] }[];
    expect(signed?.points.at(-4)?.k).toBe(3);
    expect(signed?.points.at(-4)?.faithfulness).toBeGreaterThan(0.9);
  });
});

describe("transfer", () => {
  test("writes matrices over items files and tables of them", async () => {
    const folder = scratch();
    const lines = readFileSync(problems, "utf8").split("\n");
    const sums = lines.filter((line) => /^\{"prompt": "\d\+/.test(line)).slice(0, 40);
    const products = lines.filter((line) => /^\{"prompt": "\d\*/.test(line)).slice(0, 40);
    const files = [sums, products].map((set, i) => {
      const file = join(folder, `task-${i}.jsonl`);
      writeFileSync(file, set.join("\n"));
      return ["--items", file];
    });
    const args = ["transfer", planted, ...files.flat(), "--random", "5"];
    const result = await json(args);
    expect(result).toMatchObject({ ...shared, split: "clusters" });
    for (const field of ["jaccard", "chance", "rank", "accuracy", "random"]) {
      expect((result[field] as unknown[][]).map((row) => row.length)).toEqual([2, 2]);
    }
    const { stdout } = await keyheads(...args);
    expect(stdout).toMatch(/^task-0\.jsonl +1\.00 \(0\.0\d\)/m);
    expect(stdout).toMatch(/accuracy without the heads/);
    expect(await failure(["transfer", planted, ...(files[0] as string[])], 2)).toMatch(
      /at least two/,
    );
    const labelled = await failure(
      ["transfer", planted, ...(files[0] as string[]), "--by", "template"],
      1,
    );
    expect(labelled).toMatch(/has no template to divide by/);
  });
});

describe("knockout", () => {
  let identified: string;
  beforeAll(async () => {
    const result = await json(["identify", planted, ...items, ...quick]);
    identified = JSON.stringify(result);
  });
  const from = () => {
    const file = join(scratch(), "identify.json");
    writeFileSync(file, identified);
    return file;
  };

  test("removes the key heads of a result, beside random ones", async () => {
    const result = await json(["knockout", planted, ...items, "--from", from(), "--random", "4"]);
    expect(result).toMatchObject({ ...shared, ablation: "mean", positions: "all" });
    const curve = result.curve as { k: number; accuracy: number }[];
    expect(curve.map(({ k }) => k)).toEqual([0, 1, 2, 3]);
    expect(curve[0]?.accuracy).toBe(1);
    expect(curve[3]?.accuracy).toBeLessThan(0.2);
    const random = result.random as { k: number; mean: number; draws: number }[];
    expect(random[0]).toMatchObject({ k: 1, draws: 4 });
    expect(random[0]?.mean).toBeGreaterThan(curve[1]?.accuracy as number);
  });

  test("--top takes the most harmful ones", async () => {
    const args = ["--from", from(), "--top", "1", "--random", "0", "--ablation", "zero"];
    const result = await json(["knockout", planted, ...items, ...args]);
    const curve = result.curve as { added?: string }[];
    expect(plantedHeads).toContain(curve[1]?.added);
    expect(curve).toHaveLength(2);
    expect(result.random).toEqual([]);
  });

  test("a control runs on the same axis, as items or as text", async () => {
    const heads = ["--heads", "3.0", "--random", "0"];
    const control = ["--control", problems];
    const result = await json(["knockout", planted, ...items, ...heads, ...control]);
    for (const point of result.curve as object[]) {
      expect(point).toMatchObject({ control: expect.any(Number) });
    }
    const text = join(scratch(), "text.txt");
    writeFileSync(text, "Once upon a time there was a little girl named Lily. ".repeat(10));
    const pronouns = join(scratch(), "items.jsonl");
    await json(["items", "stories260K", "--count", "20", "--out", pronouns]);
    const stories = ["knockout", "stories260K", "--items", pronouns];
    const other = await json([...stories, ...heads, "--control", text]);
    const [first] = other.curve as { control: number }[];
    expect(first?.control).toBeGreaterThan(0.5);
    expect(first?.control).toBeLessThan(1);
  });

  test("a result cannot rank more heads than there are", async () => {
    const args = ["--from", from(), "--top", "33"];
    expect(await failure(["knockout", planted, ...items, ...args], 2)).toMatch(
      /ranks 32 heads only/,
    );
  });
});

test("attend gives the share of every role", async () => {
  const file = join(scratch(), "roles.jsonl");
  const line = (a: number, b: number) =>
    JSON.stringify({
      prompt: `${a}*${b}=`,
      answer: String(a * b),
      roles: { operand1: [0, 1], operator: [1, 2], operand2: [2, 3] },
    });
  writeFileSync(file, [line(7, 8), line(3, 4), line(9, 2), line(6, 6)].join("\n"));
  const result = await json(["attend", planted, "--items", file, "--heads", plantedHeads.join()]);
  expect(result).toMatchObject(shared);
  const heads = result.heads as { head: string; roles: Record<string, { mean: number }> }[];
  expect(heads.map(({ head }) => head)).toEqual(plantedHeads);
  for (const { roles } of heads) expect(Object.keys(roles)).toContain("operand1");
  // One of the planted heads copies the first operand.
  expect(Math.max(...heads.map(({ roles }) => roles.operand1?.mean ?? 0))).toBeGreaterThan(0.5);
  const { stdout } = await keyheads("attend", planted, "--items", file);
  expect(stdout).toMatch(/^head +type +.*operand1/m);
});

test("lens shows the answer come up", async () => {
  const result = await json(["lens", planted, ...items]);
  expect(result).toMatchObject(shared);
  const layers = result.layers as { layer: number; answerRank: number; answerProb: number }[];
  expect(layers.map(({ layer }) => layer)).toEqual([0, 1, 2, 3]);
  expect(layers[3]?.answerRank).toBe(1);
  expect(layers[3]?.answerProb).toBeGreaterThan(layers[0]?.answerProb as number);
  expect((await keyheads("lens", planted, ...items)).stdout).toMatch(/^layer +rank +prob/m);
});

test("eval scores whole answers", async () => {
  const result = await json(["eval", planted, ...items]);
  expect(result).toMatchObject({ ...shared, mode: "teacher", n: 300, accuracy: 1 });
  expect(result.ci).toHaveLength(2);
  const decoded = await json(["eval", planted, ...items, "--mode", "generate"]);
  expect(decoded).toMatchObject({ mode: "generate", accuracy: 1 });
  const { stdout } = await keyheads("eval", planted, ...items, "--baseline", planted);
  expect(stdout).toMatch(/^accuracy +100\.0 %/m);
  expect(stdout).toMatch(/^became right, wrong +0, 0$/m);
});

describe("verify", () => {
  test("passes on golden data", async () => {
    const result = await json(["verify", fixture("gpt2")]);
    expect(result).toMatchObject({ model: "gpt2", pass: true });
    const names = (result.groups as { name: string }[]).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(["logits", "grad", "path.head", "generation"]));
  });

  test("fails with exit code 5 where a tolerance is exceeded", async () => {
    const folder = join(scratch(), "gpt2");
    cpSync(fixture("gpt2"), folder, { recursive: true });
    // Another final norm: everything after it is off.
    const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    config.layer_norm_epsilon = 0.1;
    writeFileSync(join(folder, "config.json"), JSON.stringify(config));
    const result = await json(["verify", folder], 5);
    expect(result.pass).toBe(false);
    const { code, stdout } = await keyheads("verify", folder);
    expect(code).toBe(5);
    expect(stdout).toMatch(/^logits .* FAILED$/m);
    expect(stdout).toMatch(/do not agree/);
  });

  test("--all goes over folders in every precision and writes the table", async () => {
    const file = join(scratch(), "parity.md");
    const all = ["verify", "--all", fixture("gpt2"), fixture("gptj"), "--table", file];
    const result = await json(all);
    expect(result).toMatchObject({
      pass: true,
      models: [
        { model: "gpt2", architecture: "gpt2", pass: true },
        { model: "gptj", architecture: "gptj", pass: true },
      ],
    });
    const table = readFileSync(file, "utf8");
    expect(table).toMatch(/^\| gptj \| gptj \| .* of \d+ \|$/m);
    await json(all);
    writeFileSync(file, "mine");
    const { code, stderr } = await keyheads(...all);
    expect(code).toBe(2);
    expect(stderr).toMatch(/is no table of verify --all/);
    expect((await keyheads("verify")).code).toBe(2);
  });
});

describe("generate", () => {
  const prompt = ["generate", planted, "--prompt", "7*8="];

  test("prints the prompt and its continuation", async () => {
    const { code, stdout } = await keyheads(...prompt, "--max-tokens", "1");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "7*8=56\n" });
  });

  test("gives new ids and text as JSON, the same for the same seed", async () => {
    const args = [...prompt, "--max-tokens", "4", "--temperature", "2", "--seed", "5"];
    const result = await json(args);
    expect(result).toMatchObject({ ...shared, ids: expect.any(Array), text: expect.any(String) });
    expect(result.ids).toHaveLength(4);
    expect((await json(args)).ids).toEqual(result.ids);
  });

  test("writes a message with the chat template, and ends at any end id", async () => {
    const folder = scratch();
    cpSync(planted, folder, { recursive: true });
    const chat = ["generate", folder, "--chat", "--prompt", "7*8", "--max-tokens", "4"];
    expect(await failure(chat, 1)).toMatch(/no chat template/);
    writeFileSync(join(folder, "chat_template.jinja"), "{{ messages[0].content }}=");
    const [answer] = (await json(chat)).ids as number[];
    writeFileSync(
      join(folder, "generation_config.json"),
      JSON.stringify({ eos_token_id: [1, answer] }),
    );
    expect(await json(chat)).toMatchObject({ text: "56", ids: [answer] });
    expect((await keyheads(...chat)).stdout).toBe("56\n");
  });

  test("a prompt that the vocabulary cannot spell", async () => {
    const args = ["generate", planted, "--prompt", "seven"];
    expect(await failure(args, 1)).toMatch(/has no token for/);
  });
});

describe("inspect", () => {
  test("counts parameters by part without loading weights", async () => {
    const result = await json(["inspect", fixture("llama-gqa")]);
    expect(result).toMatchObject({
      model: "llama-gqa",
      architecture: "llama",
      shape: { heads: 8, kvHeads: 2, tied: true, position: "rotary" },
      tokenizer: null,
    });
    const { total, ...parts } = result.parameters as Record<string, number>;
    const { embedding = 0, unembedding = 0, attention = 0, mlps = 0, norms = 0 } = parts;
    expect(embedding + unembedding + attention + mlps + norms).toBe(total);
    expect(unembedding).toBe(0);
    expect(result.hooks).toContain("blocks.0.attn.hook_z");
    expect(result.hooks).not.toContain("hook_pos_embed");
  });

  test("is a table without --json", async () => {
    const { stdout } = await keyheads("inspect", fixture("gpt2"));
    expect(stdout).toMatch(/^heads +4 a layer/m);
    expect(stdout).toMatch(/blocks\.\{i\}\.attn\.hook_pattern/);
  });
});

test("doctor knows what is there", async () => {
  const result = await json(["doctor"]);
  expect(result.ok).toBe(true);
  const checks = result.checks as { name: string; status: string; value: string }[];
  const value = (name: string) => checks.find((check) => check.name === name)?.value;
  expect(value("Node")).toContain(process.version);
  expect(value("addon")).toMatch(/keyheads\.node/);
  expect(value("CUDA")).toMatch(/^(no library|local build .*keyheads_cuda\.so)$/);
  expect(value("self-test")).toMatch(/agree$/);
  expect(value("addon")).toMatch(/^local build /);
  expect((await keyheads("doctor")).stdout).toMatch(/keyheads can run here\n$/);
});
