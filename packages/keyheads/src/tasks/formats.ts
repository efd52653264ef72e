/**
 * Lines in the formats of others, turned into ours: conversations (`messages`, trained or scored on the
 * last answer), and questions with answers as GSM8K's files have them.
 */
import type { ChatMessage } from "../tokenizer/chat-template.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import type { Encoder } from "./encoder.ts";
import { bad } from "./line.ts";
import type { Line } from "./line-fields.ts";

/** Throws BAD_ITEMS with the reason. */
export function canonical(line: Line, encoder: Encoder): Line {
  const { messages, question, ...rest } = line;
  const prompts = [messages, question, line.prompt ?? line.prompt_ids].filter(
    (given) => given !== undefined,
  );
  if (prompts.length > 1) throw bad("give one of prompt, question and messages");
  if (messages) return { ...rest, ...conversation(messages, encoder) };
  if (question === undefined) return line;
  const answer = line.answer ?? line.completion;
  return {
    ...rest,
    prompt: `Question: ${question}\nAnswer:`,
    ...(answer !== undefined && { answer: answer === "" ? "" : ` ${answer}` }),
    completion: undefined,
  };
}

/** Everything up to the last answer is the prompt, with what the template writes before an answer. */
function conversation(messages: readonly ChatMessage[], encoder: Encoder) {
  const last = messages.at(-1);
  if (last?.role !== "assistant") {
    throw bad(
      `messages: the last must be the assistant's, whose answer is learnt; it is ${last ? `of role ${last.role}` : "missing"}`,
    );
  }
  const tokenizer = encoder.need("messages");
  const promptIds = encodeChat(tokenizer, messages.slice(0, -1), true);
  const all = encodeChat(tokenizer, messages, false);
  const differs = promptIds.findIndex((id, i) => all[i] !== id);
  if (differs >= 0) {
    throw bad(
      "messages: the chat template writes the conversation otherwise once the last answer is there; " +
        `token ${differs} is ${encoder.show([promptIds[differs] as number])} without it and ` +
        `${encoder.show(all.slice(differs, differs + 1))} with it`,
    );
  }
  const answerIds = last.content === "" ? [] : all.slice(promptIds.length);
  return { prompt_ids: promptIds, answer_ids: answerIds };
}

function encodeChat(tokenizer: Tokenizer, messages: readonly ChatMessage[], answers: boolean) {
  try {
    return tokenizer.encodeChat(messages, { addGenerationPrompt: answers });
  } catch (cause) {
    throw bad(`messages: ${(cause as Error).message}`);
  }
}

/** Which tokens of an example are learnt, in text: `"2 + 3 =" (4 tokens) -> "5" (1 token)`. */
export function maskView(
  promptIds: readonly number[],
  answerIds: readonly number[],
  tokenizer: Tokenizer | undefined,
): string {
  const show = (ids: readonly number[]) =>
    `${tokenizer ? JSON.stringify(ids.map((id) => tokenizer.tokenText(id)).join("")) : `[${ids.join(", ")}]`} (${ids.length} ${ids.length === 1 ? "token" : "tokens"})`;
  return `not learnt: ${show(promptIds)}, learnt: ${answerIds.length === 0 ? "nothing" : show(answerIds)}`;
}
