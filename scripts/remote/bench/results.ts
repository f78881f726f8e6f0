import { writeFileSync } from 'node:fs';
import { median } from '../../bench/statistics.js';

/** What was measured, by row and name: `start/minimal/25 ms/lazy`, in the unit of the name's measurement. */
export class Results {
  readonly #file: string;
  readonly #facts: Readonly<Record<string, unknown>>;
  readonly #values = new Map<string, { readonly unit: string; readonly values: number[] }>();

  constructor(file: string, facts: Readonly<Record<string, unknown>>) {
    this.#file = file;
    this.#facts = facts;
  }

  /** Written at once, for a run that is cut off. */
  add(name: string, value: number, unit: 's' | 'MiB' | 'MiB/s' | 'trips'): void {
    const known = this.#values.get(name) ?? { unit, values: [] };
    known.values.push(value);
    this.#values.set(name, known);
    console.log(`   ${name}: ${value.toFixed(2)} ${unit}`);
    const measured = Object.fromEntries(this.#values);
    writeFileSync(
      this.#file,
      `${JSON.stringify({ ...this.#facts, measured, table: this.#table() }, undefined, 1)}\n`,
    );
  }

  median(name: string): number | undefined {
    return median(this.#values.get(name)?.values ?? []);
  }

  print(): void {
    console.log('\n| what | reached | to reach |\n| --- | --- | --- |');
    for (const { what, reached, wanted } of this.#table())
      console.log(`| ${what} | ${reached} | ${wanted} |`);
    console.log(`\nAll of it: ${this.#file}`);
  }

  #table(): { what: string; reached: string; wanted: string }[] {
    const rows: { what: string; reached: string; wanted: string }[] = [];
    const add = (what: string, value: number | undefined, unit: string, wanted: string): void => {
      if (value !== undefined) rows.push({ what, reached: `${value.toFixed(3)} ${unit}`, wanted });
    };
    const ratio = (one: string, other: string): number | undefined => {
      const [x, y] = [this.median(one), this.median(other)];
      return x === undefined || y === undefined ? undefined : x / y;
    };
    for (const at of new Set(
      [...this.#values.keys()].map((name) => name.split('/').slice(0, -1).join('/')),
    )) {
      add(`${at}: lazy beside --full`, ratio(`${at}/lazy`, `${at}/full`), '×', '≤ 0.15×');
      add(`${at}: lazy beside skopeo and umoci`, ratio(`${at}/lazy`, `${at}/skopeo`), '×', '≤ 0.1×');
      add(`${at}: recorded start, requests after each other`, this.median(`${at}/recorded trips`), '', '≤ 4');
      const [recorded, local] = [this.median(`${at}/recorded`), this.median(`${at}/local`)];
      if (recorded !== undefined && local !== undefined)
        add(`${at}: recorded start beyond a local one`, recorded - local, 's', '≤ 4 round trips');
      add(`${at}: pull --full`, ratio(`${at}/plain gets`, `${at}/pull --full`), '×', '≥ 0.8×');
      add(`${at}: hydrate`, ratio(`${at}/plain gets`, `${at}/hydrate`), '×', '≥ 0.8×');
      add(`${at}: push of a first image`, ratio(`${at}/plain puts`, `${at}/push`), '×', '≥ 0.7×');
      add(`${at}: second push`, ratio(`${at}/second`, `${at}/first`), '×', '≤ 0.03×');
      add(`${at}: reads of what came`, ratio(`${at}/came`, `${at}/local bytes`), '×', '≈ 1×');
      add(`${at}: memory while hydrating`, this.median(`${at}/more memory`), 'MiB', '≤ 64 MiB');
    }
    return rows;
  }
}
