import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { KeyheadsError } from "../../packages/keyheads/src/errors.ts";
import {
  itemsFromRaw,
  itemsFromText,
  type RawItem,
  readItems,
  writeItems,
} from "../../packages/keyheads/src/tasks/items.ts";
import { toRaw } from "../../packages/keyheads/src/tasks/write-items.ts";
import { ChatTemplates } from "../../packages/keyheads/src/tokenizer/chat-template.ts";
import { loadTokenizer } from "../../packages/keyheads/src/tokenizer/load.ts";
import type { Tokenizer } from "../../packages/keyheads/src/tokenizer/types.ts";
import { ascii, fakeTokenizer, gpt2Like, llama2Like, llama3Like } from "./fake-tokenizer.ts";

const limits = { vocab: 10_000, context: 64 };
const planted = "test/fixtures/planted";
let plantedTokenizer: Tokenizer;
let folder: string;
beforeAll(async () => {
  plantedTokenizer = (await loadTokenizer(planted)) as Tokenizer;
  folder = await mkdtemp(join(tmpdir(), "keyheads-items-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** One line together with a good one, so that the set is not empty. */
function reasonFor(
  line: RawItem | string,
  tokenizer: Tokenizer | undefined = llama3Like,
  options: { single?: boolean; vocab?: number; context?: number } = {},
): string {
  const good = JSON.stringify({ id: "good", prompt_ids: [1], answer_id: 2 });
  const text = `${good}\n${typeof line === "string" ? line : JSON.stringify(line)}\n`;
  const set = itemsFromText(text, tokenizer, { ...limits, ...options });
  expect(set.items.map((item) => item.id)).toEqual(["good"]);
  expect(set.dropped).toHaveLength(1);
  expect(set.dropped[0]?.line).toBe(2);
  return set.dropped[0]?.why as string;
}

function one(line: RawItem, tokenizer: Tokenizer | undefined = llama3Like, options = {}) {
  const set = itemsFromRaw([line], tokenizer, { ...limits, ...options });
  const [item] = set.items;
  if (!item) throw new Error("no item");
  return item;
}

const errorOf = async (run: () => unknown): Promise<KeyheadsError> => {
  try {
    await run();
  } catch (error) {
    expect(error).toBeInstanceOf(KeyheadsError);
    return error as KeyheadsError;
  }
  throw new Error("expected an error");
};

describe("the planted problems", () => {
  it("uses all 300 lines, negative answers by their id", async () => {
    const options = { vocab: 55, context: 64, single: true };
    const set = await readItems(`${planted}/problems.jsonl`, plantedTokenizer, options);
    expect(set.name).toBe("problems.jsonl");
    expect(set.dropped).toEqual([]);
    expect(set.items).toHaveLength(300);
    const lines = (await readFile(`${planted}/problems.jsonl`, "utf8")).trim().split("\n");
    for (const [i, item] of set.items.entries()) {
      const line = JSON.parse(lines[i] as string);
      expect(item.line).toBe(i + 1);
      expect(item.promptIds).toHaveLength(4);
      expect(item.answerIds).toEqual([line.answer_id]);
      expect(item.reference).toEqual(item.promptIds);
      expect(item.counterfactual).toEqual(plantedTokenizer.encode(line.counterfactual));
      expect(item.counterfactualAnswerId).toBe(line.counterfactual_answer_id);
    }
    const negative = set.items.filter((item) => item.answer?.startsWith("-"));
    expect(negative).toHaveLength(45);
    expect(plantedTokenizer.tokenText(negative[0]?.answerId as number)).toBe("-1");
  });

  it("drops exactly the 45 negative answers where only their text is given", async () => {
    const text = await readFile(`${planted}/problems.jsonl`, "utf8");
    const lines = text
      .trim()
      .split("\n")
      .map((line) => {
        const { prompt, answer, counterfactual } = JSON.parse(line);
        return { prompt, answer, counterfactual };
      });
    const set = itemsFromRaw(lines, plantedTokenizer, { vocab: 55, context: 64, single: true });
    expect(set.items).toHaveLength(255);
    expect(set.dropped).toHaveLength(45);
    expect(set.dropped[0]?.why).toContain('2 tokens ("-", "1")');
    // Without the single-token rule they are whole answers of two tokens.
    const whole = itemsFromRaw(lines, plantedTokenizer, { vocab: 55, context: 64 });
    expect(whole.items.filter((item) => item.answerIds.length === 2)).toHaveLength(45);
  });
});

describe("a line that cannot be used", () => {
  const good: RawItem = { prompt: "1 + 2 = ", answer: "3" };
  const cases: [name: string, line: RawItem | string, reason: RegExp][] = [
    ["broken JSON", '{"prompt": "1', /^not JSON: /],
    ["a list", "[1, 2]", /expected an object with fields, got \[1,2\]/],
    ["a number", "17", /expected an object/],
    ["null", "null", /expected an object/],
    ["no prompt", { answer: "3" }, /^prompt is missing/],
    ["no answer", { prompt: "1 + 2 = " }, /^answer is missing/],
    ["empty prompt_ids", { prompt_ids: [], answer_id: 3 }, /prompt_ids is empty/],
    ["empty answer", { ...good, answer: "" }, /the answer is empty/],
    ["empty answer_ids", { ...good, answer_ids: [] }, /answer_ids is empty/],
    ["prompt of another type", '{"prompt": 12, "answer": "3"}', /^prompt: expected string/],
    [
      "null id",
      '{"prompt_ids": [1, null], "answer_id": 3}',
      /^prompt_ids\[1\]: expected a token id/,
    ],
    ["null answer", '{"prompt_ids": [1], "answer_id": null}', /^answer_id: expected a token id/],
    ["fraction", { ...good, prompt_ids: [1.5] }, /^prompt_ids\[0\]: expected a token id/],
    [
      "negative id",
      { ...good, prompt_ids: [-1] },
      /^prompt_ids\[0\]: expected a token id, a whole number from 0/,
    ],
    ["role of one number", '{"prompt":"1","answer":"2","roles":{"a":[1]}}', /^roles\.a: /],
    ["several types", '{"prompt": 1, "answer": 2}', /^prompt: .*; answer: /],
    ["two answers", { ...good, completion: "4" }, /answer and completion differ/],
    [
      "answer_id against answer_ids",
      { ...good, answer_ids: [5], answer_id: 6 },
      /answer_id 6 is not/,
    ],
    ["target beyond", { ...good, target: 1 }, /target 1: the answer has 1 token$/],
    ["id beyond the vocabulary", { prompt_ids: [1], answer_id: 10_000 }, /answer: token id 10000/],
    ["prompt id beyond", { prompt_ids: [10_001], answer_id: 1 }, /prompt: token id 10001/],
    [
      "counterfactual id beyond",
      { ...good, counterfactual_ids: [12_345] },
      /counterfactual: token id 12345 is not in the vocabulary \(ids are below 10000\)/,
    ],
    [
      "counterfactual answer beyond",
      { ...good, counterfactual_answer_id: 99_999 },
      /counterfactual_answer: token id 99999/,
    ],
    ["unknown character", { ...good, prompt: "1 ☃ = " }, /^prompt: no token for/],
    ["unknown in the answer", { ...good, answer: "☃" }, /^answer: no token for/],
    ["longer than the context", { prompt_ids: Array(65).fill(1), answer_id: 1 }, /65 tokens.* 64$/],
    [
      "counterfactual longer than the context",
      { ...good, counterfactual_ids: Array(70).fill(1) },
      /70 tokens are more than the model's context of 64/,
    ],
    ["duplicate id", { ...good, id: "good" }, /id good is that of line 1 already/],
    ["role beyond", { ...good, roles: { operand1: [0, 99] } }, /role operand1: \[0, 99\) is not/],
    ["role reversed", { ...good, roles: { operand1: [3, 2] } }, /role operand1: \[3, 2\) is not/],
    ["empty role", { ...good, roles: { operand1: [2, 2] } }, /role operand1: \[2, 2\) is not/],
    ["role_ids beyond", { ...good, role_ids: { x: [0, 99] } }, /role_ids x: \[0, 99\) is not/],
    ["prefix alone", { ...good, counterfactual_prefix: "4" }, /prefix without counterfactual/],
    ["empty counterfactual", { ...good, counterfactual_ids: [] }, /counterfactual has no tokens/],
    [
      "prefix in text after ids",
      { ...good, counterfactual_ids: [1], counterfactual_prefix: "4" },
      /give counterfactual_prefix_ids/,
    ],
    [
      "counterfactual answer in text after ids",
      { ...good, counterfactual_ids: [1], counterfactual_answer: "4" },
      /counterfactual_answer in text needs counterfactual/,
    ],
    [
      "counterfactual answer of two tokens",
      { ...good, counterfactual: "1 + 3 = ", counterfactual_answer: "4 5" },
      /counterfactual_answer "4 5" is 3 tokens/,
    ],
    ["choices without the answer", { ...good, choices: ["4", "5"] }, /is not one of the choices/],
    ["one choice", { ...good, choices: ["3"] }, /^choices: /],
    ["answer in text without prompt", { prompt_ids: [1], answer: "3" }, /needs prompt/],
    ["roles without prompt", { prompt_ids: [1], answer_id: 3, roles: { a: [0, 1] } }, /is missing/],
    [
      "roles of another prompt",
      { prompt_ids: [1], prompt: "1 + 2", answer_id: 3, roles: { a: [0, 1] } },
      /prompt_ids are not the tokens of prompt/,
    ],
  ];
  it.each(cases)("%s", (_, line, reason) => {
    expect(reasonFor(line)).toMatch(reason);
  });

  it("an answer of several tokens, where one is measured", () => {
    const line: RawItem = { prompt: "9 + 8 = ", answer: "17" };
    expect(reasonFor(line, llama2Like, { single: true })).toMatch(
      /the answer is 2 tokens \("1", "7"\), and this needs one/,
    );
    expect(one(line, llama2Like).answerIds).toHaveLength(2);
    expect(one({ ...line, target: 1 }, llama2Like, { single: true }).target).toBe(1);
  });

  it("text without a tokenizer", () => {
    const set = itemsFromRaw(
      [
        { prompt_ids: [1], answer_id: 2 },
        { prompt: "1", answer: "2" },
      ],
      undefined,
      limits,
    );
    expect(set.dropped).toEqual([
      { line: 2, why: "prompt is text, but the model has no tokenizer; give token ids" },
    ]);
  });

  it("a role that cuts a token", () => {
    const line: RawItem = { prompt: "12 + 3 = ", answer: "15", roles: { operand1: [0, 1] } };
    expect(reasonFor(line)).toMatch(/role operand1: "1" is only a part of the token "12"/);
  });

  it("a tokenizer that gives no number", () => {
    const broken = { ...llama3Like, encode: () => [1, null as unknown as number] };
    expect(reasonFor(good, broken)).toMatch(/the tokenizer gave null for a part of/);
  });
});

describe("the token boundary rule", () => {
  it("keeps a separating space that is a token of its own in the prompt", () => {
    const item = one({ prompt: "23 + 45 = ", answer: "68" }, llama3Like, { single: true });
    expect(llama3Like.tokenText(item.answerId)).toBe("68");
  });

  it("drops an answer that is glued to the prompt's last space", () => {
    expect(reasonFor({ prompt: "23 + 45 = ", answer: "68" }, gpt2Like)).toMatch(
      /the tokenizer joins it with what stands before: .* ends in " ", .* in " 68"; move the space/,
    );
    const item = one({ prompt: "23 + 45 =", answer: " 68" }, gpt2Like, { single: true });
    expect(gpt2Like.tokenText(item.answerId)).toBe(" 68");
  });

  it("holds for every item that is kept", () => {
    for (const tokenizer of [llama2Like, llama3Like, gpt2Like]) {
      const lines = Array.from({ length: 40 }, (_, i) => ({
        prompt: `${i} + ${2 * i} =${i % 2 ? " " : ""}`,
        answer: `${i % 2 ? "" : " "}${3 * i}`,
      }));
      const set = itemsFromRaw(lines, tokenizer, limits);
      for (const item of set.items) {
        const { prompt, answer } = lines[item.line - 1] as (typeof lines)[number];
        expect([...item.promptIds, ...item.answerIds]).toEqual(tokenizer.encode(prompt + answer));
      }
      expect(set.items.length + set.dropped.length).toBe(40);
    }
  });
});

describe("fields", () => {
  const digits = fakeTokenizer([..."0123456789+="]);

  it("measures the target and forces what stands before it", () => {
    const item = one(
      {
        prompt: "123+456=",
        answer: "579",
        target: 1,
        counterfactual: "123+466=",
        counterfactual_answer: "8",
      },
      digits,
    );
    expect(item.reference).toEqual([...digits.encode("123+456="), 5]);
    expect(item.answerId).toBe(7);
    expect(item.counterfactual).toEqual([...digits.encode("123+466="), 5]);
    expect(item.counterfactualAnswerId).toBe(8);
  });

  it("takes a whole counterfactual answer too, where it begins with the forced tokens", () => {
    const line = { prompt: "123+456=", answer: "579", target: 1, counterfactual: "123+466=" };
    expect(one({ ...line, counterfactual_answer: "589" }, digits).counterfactualAnswerId).toBe(8);
    expect(() => one({ ...line, counterfactual_answer: "689" }, digits)).toThrow(/is 3 tokens/);
  });

  it("gives X_c a prefix of its own", () => {
    const line = { prompt: "123+456=", answer: "579", target: 1, counterfactual: "900+50=" };
    const item = one({ ...line, counterfactual_prefix: "9", counterfactual_answer: "5" }, digits);
    expect(item.counterfactual).toEqual([...digits.encode("900+50="), 9]);
    expect(item.counterfactualAnswerId).toBe(5);
    expect(one({ ...line, counterfactual_prefix: "" }, digits).counterfactual).toEqual(
      digits.encode("900+50="),
    );
  });

  it("needs no tokenizer for token ids", () => {
    const item = one(
      {
        id: 7,
        prompt_ids: [1, 2, 3],
        answer_ids: [4, 5],
        target: 1,
        counterfactual_ids: [1, 2, 9],
        counterfactual_answer_id: 6,
        role_ids: { a: [0, 2], forced: [3, 4] },
      },
      undefined,
      { single: true },
    );
    expect(item).toEqual({
      id: "7",
      line: 1,
      promptIds: [1, 2, 3],
      answerIds: [4, 5],
      target: 1,
      reference: [1, 2, 3, 4],
      answerId: 5,
      counterfactual: [1, 2, 9, 4],
      counterfactualAnswerId: 6,
      roles: { a: [0, 2], forced: [3, 4] },
    });
  });

  it("reads completion as answer and lets answer_id win", () => {
    const line = { prompt: "1+1=", completion: "2" };
    expect(one(line, digits).answerIds).toEqual([2]);
    expect(one({ ...line, answer_id: 9 }, digits).answerIds).toEqual([9]);
    expect(one({ ...line, answer_id: 9 }, digits).answer).toBe("2");
  });

  it("appends the end token for training", () => {
    expect(one({ prompt: "1+1=", answer: "2" }, digits, { eosId: 11 }).answerIds).toEqual([2, 11]);
  });

  it("turns character spans into token spans, with the special tokens as bos", () => {
    const line: RawItem = {
      prompt: "12 plus 34 equals ",
      answer: "46",
      roles: { operand1: [0, 2], operator: [3, 7], operand2: [8, 10], equals: [11, 17] },
    };
    const item = one(line);
    const text = (role: string) => {
      const [start, stop] = item.roles[role] as [number, number];
      return llama3Like.decode(item.reference.slice(start, stop));
    };
    expect(item.roles.bos).toEqual([0, 1]);
    expect(text("operand1")).toBe("12");
    expect(text("operator")).toBe(" plus");
    expect(text("operand2")).toBe("34");
    expect(text("equals")).toBe(" equals");
  });

  it("counts characters, not UTF-16 units", () => {
    const tokenizer = fakeTokenizer(["😀", "a", "b", "c"]);
    const item = one({ prompt: "😀a😀b", answer: "c", roles: { b: [3, 4], a: [1, 2] } }, tokenizer);
    expect(item.roles).toEqual({ b: [3, 4], a: [1, 2] });
  });

  it("finds the answer among choices", () => {
    const item = one({ prompt: "1+1=", answer: "2", choices: ["11", "2", "3"] }, digits);
    expect(item.choiceIds).toEqual([[1, 1], [2], [3]]);
    expect(item.choice).toBe(1);
  });

  it("fills the context to the last token: the last answer token is never read", () => {
    const line = { prompt_ids: [1, 2, 3, 4, 5, 6], answer_ids: [1, 2, 3, 4] };
    expect(one(line, undefined, { context: 9 }).answerIds).toHaveLength(4);
    expect(() => one(line, undefined, { context: 8 })).toThrow(/9 tokens .* context of 8/);
  });

  it("takes C' without X_c as another answer to the prompt", () => {
    const item = one({ prompt: "1+1=", answer: "2", counterfactual_answer: "3" }, digits);
    expect(item.counterfactual).toBeUndefined();
    expect(item.counterfactualAnswerId).toBe(3);
  });
});

describe("files", () => {
  const line = '{"prompt_ids": [1], "answer_id": 2}';
  const put = async (name: string, content: string | Buffer) => {
    const file = join(folder, name);
    await writeFile(file, content);
    return file;
  };

  it("understands a byte order mark, CRLF, blank lines and a missing last newline", async () => {
    const file = await put("bom.jsonl", `\ufeff${line}\r\n\r\n  \t\r\n${line}\r\n${line}`);
    const set = await readItems(file, undefined, limits);
    expect(set.items.map((item) => item.line)).toEqual([1, 4, 5]);
    expect(set.dropped).toEqual([]);
  });

  it("reports a line that is not UTF-8 and keeps the others", async () => {
    const bytes = Buffer.concat([Buffer.from(`${line}\n`), Buffer.from([0xff, 0xfe, 10])]);
    const set = await readItems(await put("latin.jsonl", bytes), undefined, limits);
    expect(set.items).toHaveLength(1);
    expect(set.dropped).toEqual([{ line: 2, why: "not UTF-8 text" }]);
  });

  it.each([
    ["empty.jsonl", ""],
    ["blank.jsonl", "\n \r\n\n"],
  ])("%s has no items", async (name, content) => {
    const file = await put(name, content);
    const error = await errorOf(() => readItems(file, undefined, limits));
    expect(error.code).toBe("BAD_ITEMS");
    expect(error.message).toBe(`${file} has no items: it is empty`);
  });

  it("says so where there is no file", async () => {
    const error = await errorOf(() => readItems(join(folder, "none"), undefined, limits));
    expect(error.code).toBe("BAD_ITEMS");
    expect(error.message).toMatch(/cannot read the items file .*none: no such file/);
  });

  it("lists the first reasons where no line can be used", async () => {
    const file = await put("bad.jsonl", '{"answer": "1"}\n'.repeat(8));
    const error = await errorOf(() => readItems(file, llama3Like, limits));
    expect(error.code).toBe("BAD_ITEMS");
    expect(error.message.split("\n")).toEqual([
      `${file}: none of the 8 lines can be used:`,
      ...[1, 2, 3, 4, 5].map((n) => `  line ${n}: prompt is missing (or prompt_ids)`),
      "  and 3 more",
    ]);
  });

  it("is fatal in strict mode for one bad line", async () => {
    const file = await put("strict.jsonl", `${line}\n{}\n`);
    expect((await readItems(file, undefined, limits)).items).toHaveLength(1);
    const error = await errorOf(() => readItems(file, undefined, { ...limits, strict: true }));
    expect(error.code).toBe("BAD_ITEMS");
    expect(error.message).toMatch(/1 of 2 lines cannot be used \(strict\):\n {2}line 2: prompt is/);
  });

  it("writes what it reads, and never over a file unless told", async () => {
    const raw: RawItem[] = [
      {
        id: "x",
        group: "g",
        cluster: "c",
        prompt: "12 plus 34 equals ",
        answer: "46",
        counterfactual: "12 plus 35 equals ",
        counterfactual_answer: "47",
        roles: { operand1: [0, 2] },
      },
    ];
    const file = join(folder, "written.jsonl");
    await writeItems(file, raw);
    const set = await readItems(file, llama3Like, limits);
    expect(set.items[0]?.counterfactualAnswerId).toBe(llama3Like.encode("47")[1]);
    expect((await errorOf(() => writeItems(file, raw))).code).toBe("OUTPUT_EXISTS");
    await writeItems(file, set.items.map(toRaw), { force: true });
    const again = await readItems(file, undefined, limits);
    expect(again.items).toEqual(set.items);
    const nowhere = await errorOf(() => writeItems(join(folder, "no", "where"), raw));
    expect(nowhere.code).toBe("WRITE_FAILED");
  });
});

describe("formats of others", () => {
  const template =
    "{% for m in messages %}<{{ m.role }}>{{ m.content }};{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}";
  const chat = (source: string): Tokenizer => {
    const templates = new ChatTemplates("the fake", new Map([["default", source]]));
    const ids: Tokenizer["encodeChat"] = (messages, options = {}) =>
      llama2Like.encode(templates.render(messages, options));
    return { ...llama2Like, hasChatTemplate: true, encodeChat: ids };
  };
  const messages = [
    { role: "user", content: "1 + 2" },
    { role: "assistant", content: "3" },
    { role: "user", content: "2 + 2" },
    { role: "assistant", content: "4" },
  ];

  it("conversations: the last answer, with what the template writes behind it, is the answer", () => {
    const tokenizer = chat(template);
    const item = one({ messages }, tokenizer);
    const text = (ids: readonly number[]) => tokenizer.decode(ids);
    expect(text(item.promptIds)).toBe("<s><user>1 + 2;<assistant>3;<user>2 + 2;<assistant>");
    expect(text(item.answerIds)).toBe("4;");
  });

  it.each([
    [{ messages: messages.slice(0, 3) }, /the last must be the assistant's.*role user/],
    [{ messages, prompt: "1 + 2" }, /one of prompt, question and messages/],
    [{ messages: [{ content: "x" }] }, /messages\[0\]\.role/],
    [{ messages: [] }, /messages/],
  ])("%j is refused", (line, reason) => {
    expect(reasonFor(JSON.stringify(line), chat(template))).toMatch(reason);
  });

  it("conversations need a template, and one that writes the answer behind the prompt", () => {
    expect(reasonFor({ messages }, llama2Like)).toMatch(/messages: .*chat template/);
    const closed =
      "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}?{% endif %}";
    expect(reasonFor({ messages }, chat(closed))).toMatch(
      /writes the conversation otherwise .*"\?" without it and "4" with it/,
    );
  });

  it("GSM8K's questions are put as Question and Answer", () => {
    const item = one({ question: "1 + 2", answer: "3\n" }, fakeTokenizer(["\n", ...ascii]));
    const text = (ids: readonly number[]) => fakeTokenizer(["\n", ...ascii]).decode(ids);
    expect(text(item.promptIds)).toBe("Question: 1 + 2\nAnswer:");
    expect(text(item.answerIds)).toBe(" 3\n");
  });

  it("in training an item without a token to learn is an error that shows the mask", async () => {
    const lines: RawItem[] = [
      { prompt: "1 + 2 = ", answer: "3" },
      { prompt: "2 + 2 = ", answer: "" },
    ];
    expect(itemsFromRaw(lines, llama3Like, limits).dropped).toHaveLength(1);
    const error = await errorOf(() =>
      itemsFromRaw(lines, llama3Like, { ...limits, needsLabels: true }),
    );
    expect(error.code).toBe("BAD_ITEMS");
    expect(error.message).toContain("line 2, has no token to learn: the answer is empty");
    expect(error.message).toContain('not learnt: "<s>2 + 2 = " (9 tokens), learnt: nothing');
  });
});
