/**
 * HTML by tagged template. Every interpolated string is escaped; only values made by `html` or
 * `raw` pass as markup, so a token such as `<script>` can never become one.
 */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }

  toString(): string {
    return this.text;
  }
}

export type Content = Html | string | number | null | undefined | false | readonly Content[];

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

export function escapeHtml(text: string): string {
  // Control characters are not allowed in a document, escaped or not.
  return printable(text).replace(/[&<>"']/g, (c) => entities[c] ?? c);
}

/** Shows control characters as their Unicode pictures and lone surrogates as U+FFFD. */
export function printable(text: string): string {
  return (
    text
      .replace(/[\ud800-\udfff]/gu, "\ufffd")
      // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is replaced
      .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\ufffe\uffff]/g, (c) => {
        const code = c.charCodeAt(0);
        return code < 32 ? String.fromCharCode(0x2400 + code) : "\ufffd";
      })
  );
}

function flatten(content: Content): string {
  if (content instanceof Html) return content.text;
  if (Array.isArray(content)) return content.map(flatten).join("");
  if (content === null || content === undefined || content === false) return "";
  return escapeHtml(String(content));
}

export function html(strings: TemplateStringsArray, ...values: readonly Content[]): Html {
  let text = strings[0] ?? "";
  values.forEach((value, i) => {
    text += flatten(value) + (strings[i + 1] ?? "");
  });
  return new Html(text);
}

/** Markup from this package itself, such as a serialised chart. Never call it on data. */
export function raw(markup: string): Html {
  return new Html(markup);
}

/** Puts `separator` between the non-empty parts. */
export function join(parts: readonly Content[], separator: Content): Html {
  const kept = parts.filter((part) => part !== null && part !== undefined && part !== false);
  return html`${kept.map((part, i) => (i === 0 ? part : [separator, part]))}`;
}
