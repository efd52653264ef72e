/**
 * Rows of a CSV text (RFC 4180) by column name. Quoted fields may hold commas, line breaks and
 * doubled quotes; a row with too few fields lacks the last columns.
 */
export function parseCsv(text: string): Readonly<Record<string, string>>[] {
  const rows: string[][] = [[]];
  let field = "";
  let quoted = false;
  const endField = () => {
    (rows.at(-1) as string[]).push(field);
    field = "";
  };
  const source = text.replace(/^\ufeff/, "").replace(/\r\n/g, "\n");
  for (let i = 0; i < source.length; ++i) {
    const character = source[i] as string;
    if (quoted) {
      if (character !== '"') field += character;
      else if (source[i + 1] === '"') field += source[++i];
      else quoted = false;
    } else if (character === '"' && field === "") quoted = true;
    else if (character === ",") endField();
    else if (character === "\n") {
      endField();
      rows.push([]);
    } else field += character;
  }
  if (field !== "" || (rows.at(-1) as string[]).length > 0) endField();
  const [header = [], ...body] = rows.filter((row) => row.some((value) => value !== ""));
  return body.map((row) =>
    Object.fromEntries(
      header.flatMap((name, i) => (row[i] === undefined ? [] : [[name, row[i] as string]])),
    ),
  );
}
