// Tasks whose answer is a word of the prompt, without the clusters that are held out; and easier
// forms of the same, from which a model learns to look a word up.
import type { WordTask } from "@keyheads/models";
import { hash } from "../../tasks/hash.ts";
import { applyCase, clusterOf, drawWords } from "../../tasks/word-tasks.ts";
import { pick } from "./arithmetic.ts";
import { answer, type Document, given, type Piece, plain, type Source } from "./document.ts";

/** Whether training leaves out this cluster of a word task: a tenth of all. */
export function heldOutCluster(task: WordTask, cluster: string): boolean {
  return hash(0, "held out", task.name, cluster) < 0.1 * 2 ** 32;
}

export function wordDocuments(tasks: readonly WordTask[]): Source {
  const forms = tasks.flatMap((task) => [task, ...easierForms(task)]);
  return (random) => {
    for (;;) {
      const task = pick(forms, random);
      const chosen = pick(task.cases, random);
      const { words, answer: word } = applyCase(chosen, drawWords(task, random));
      if (heldOutCluster(task, clusterOf(task, words))) continue;
      return [...prompt(task, words), plain(" "), answer(word), plain(".\n")];
    }
  };
}

/** Of a task that is several sentences and a question, the forms with fewer sentences. */
function easierForms(task: WordTask): WordTask[] {
  const sentences = task.template.split(/(?<=\.) /);
  const question = sentences.pop() as string;
  return Array.from({ length: Math.max(0, sentences.length - 1) }, (_, i) => {
    const kept = i + 1;
    const template = [...sentences.slice(0, kept), question].join(" ");
    return { ...task, template, cases: task.cases.slice(0, kept) };
  });
}

function prompt(task: WordTask, words: Readonly<Record<string, string>>): Document {
  const seen = new Set<string>();
  return task.template.split(/\{(\w+)\}/).map((part, i): Piece => {
    if (i % 2 === 0) return plain(part);
    const word = words[part] as string;
    const known = seen.has(word);
    seen.add(word);
    return known ? plain(word) : given(word);
  });
}
