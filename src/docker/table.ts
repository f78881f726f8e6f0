export interface Column {
  readonly title: string;
  /** Numbers stand to the right. */
  readonly right?: boolean;
  readonly minWidth?: number;
}

/**
 * Rows under their titles, each cell as wide as the widest of its column; the last column is as long as it
 * is. No line ends in a space, no newline at the end. Cells are never empty (`-` instead), so that `awk`
 * counts columns.
 */
export function formatTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  gap = 2,
): string {
  const lines = [columns.map(({ title }) => title), ...rows];
  const widths = columns.map(({ minWidth = 0 }, at) =>
    lines.reduce((width, cells) => Math.max(width, cells[at]?.length ?? 0), minWidth),
  );
  return lines
    .map((cells) =>
      columns
        .map(({ right }, at) => {
          const cell = cells[at] ?? '';
          return right === true ? cell.padStart(widths[at]!) : cell.padEnd(widths[at]!);
        })
        .join(' '.repeat(gap))
        .trimEnd(),
    )
    .join('\n');
}
