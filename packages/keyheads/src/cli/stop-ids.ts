/** `eos_token_id` of config.json: a number, a list, or absent. */
export function stopIds(config: Readonly<Record<string, unknown>>): number[] {
  const given = config.eos_token_id;
  return (Array.isArray(given) ? given : [given]).filter((id) => typeof id === "number");
}
