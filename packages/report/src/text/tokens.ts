/** Tokens as they can be seen: spaces and line breaks shown, the empty token named. */
export function visible(token: string): string {
  if (token === "") return "∅";
  return token.replace(/ /g, "␣").replace(/\n/g, "⏎").replace(/\r/g, "␍").replace(/\t/g, "⇥");
}
