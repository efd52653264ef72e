// The special tokens that tokenizer.json puts before and after a text.
import type { Part } from "./part.ts";

export interface Affixes {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** Those of a single text. Post-processors that only change offsets add nothing. */
export function readAffixes(part: Part): Affixes {
  if (part.missing) return { before: [], after: [] };
  return part.pick(readers, "post-processor")(part);
}

const readers: Readonly<Record<string, (part: Part) => Affixes>> = {
  TemplateProcessing: template,
  BertProcessing: frame,
  RobertaProcessing: frame,
  ByteLevel: () => ({ before: [], after: [] }),
  // A later processor puts its tokens around those of the earlier ones.
  Sequence: (part) =>
    part
      .get("processors")
      .list()
      .map(readAffixes)
      .reduce(
        (inner, outer) => ({
          before: [...outer.before, ...inner.before],
          after: [...inner.after, ...outer.after],
        }),
        { before: [], after: [] },
      ),
};

function frame(part: Part): Affixes {
  const id = (name: string) =>
    part.get(name).list()[1]?.count() ?? part.get(name).fail("has no id");
  return { before: [id("cls")], after: [id("sep")] };
}

function template(part: Part): Affixes {
  const before: number[] = [];
  const after: number[] = [];
  let texts = 0;
  const single = part.get("single");
  for (const element of single.list()) {
    if (!element.get("Sequence").missing) {
      const name = element.get("Sequence").get("id");
      if (name.string() !== "A") name.fail('expected "A", the text');
      ++texts;
      continue;
    }
    const name = element.get("SpecialToken").get("id").string();
    const ids = part.get("special_tokens").get(name).get("ids").list();
    (texts === 0 ? before : after).push(...ids.map((id) => id.count()));
  }
  if (texts !== 1) single.fail(`has the text ${texts} times, expected once`);
  return { before, after };
}
