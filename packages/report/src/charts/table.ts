/** Plain tables: a caption, column heads with scope, numbers aligned to the right. */
import { type Content, type Html, html } from "../html.ts";
import { scrollBox } from "./figure.ts";

export interface Column<Row> {
  readonly head: string;
  readonly cell: (row: Row) => Content;
  readonly align?: "left" | "right";
  /** The cell names its row. */
  readonly rowHead?: boolean;
}

export interface Table<Row> {
  readonly caption: string;
  readonly showCaption?: boolean;
  readonly columns: readonly Column<Row>[];
  readonly rows: readonly Row[];
  readonly rowClass?: (row: Row) => string | undefined;
  /** On narrow pages every row becomes a card of "column: value" lines. */
  readonly cards?: boolean;
}

export function table<Row>(spec: Table<Row>): Html {
  const { columns, rows, caption } = spec;
  const body = rows.map((row) => {
    const className = spec.rowClass?.(row);
    return html`<tr${className ? html` class="${className}"` : null}>${columns.map((column) =>
      cell(column, row),
    )}</tr>`;
  });
  const heads = columns.map(
    (column) =>
      html`<th scope="col"${column.align === "right" ? html` class="num"` : null}>${column.head}</th>`,
  );
  const markup = html`<table${spec.cards ? html` class="cards"` : null}>
<caption${spec.showCaption ? null : html` class="visually-hidden"`}>${caption}</caption>
<thead><tr>${heads}</tr></thead>
<tbody>${body}</tbody>
</table>`;
  return scrollBox(caption, markup);
}

function cell<Row>(column: Column<Row>, row: Row): Html {
  const align = column.align === "right" ? html` class="num"` : null;
  const label = html` data-label="${column.head}"`;
  return column.rowHead
    ? html`<th scope="row"${align}${label}>${column.cell(row)}</th>`
    : html`<td${align}${label}>${column.cell(row)}</td>`;
}
