/** A value from a file, for a message: as JSON, cut short, whatever it is. */
export function show(value: unknown): string {
  if (value === undefined) return "missing";
  const most = 200;
  let text: string;
  try {
    text = JSON.stringify(value);
  } catch {
    return "a value nested too deeply to show";
  }
  return text.length <= most ? text : `${text.slice(0, most)}... (${text.length} characters)`;
}
