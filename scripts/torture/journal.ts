import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';

/**
 * What became of each page, as sequence numbers of its last write: `begun` ≥ `acknowledged` ≥ `synced`. After
 * a crash the page must hold a number from `synced` to `begun`.
 */
export interface Progress {
  readonly begun: Uint32Array;
  readonly acknowledged: Uint32Array;
  readonly synced: Uint32Array;
}

const FIELDS = ['begun', 'acknowledged', 'synced'] as const satisfies readonly (keyof Progress)[];
const ENTRY = FIELDS.length;

/**
 * A writer's progress in a file outside the pool: `ENTRY` u32 a page. The writer writes it, anybody reads it
 * meanwhile.
 */
export class Journal {
  readonly progress: Progress;
  readonly #file: number;
  readonly #pages: number;

  constructor(path: string, pages: number) {
    this.#file = openSync(path, 'a+');
    closeSync(this.#file);
    this.#file = openSync(path, 'r+');
    this.#pages = pages;
    if (fstatSync(this.#file).size === 0) writeSync(this.#file, new Uint8Array(pages * ENTRY * 4));
    this.progress = this.read();
  }

  /** As the writer left it; a copy. */
  read(): Progress {
    const words = new Uint32Array(this.#pages * ENTRY);
    readSync(this.#file, words, 0, words.byteLength, 0);
    const [begun, acknowledged, synced] = FIELDS.map((_, field) =>
      Uint32Array.from({ length: this.#pages }, (_page, page) => words[page * ENTRY + field]!),
    );
    return { begun: begun!, acknowledged: acknowledged!, synced: synced! };
  }

  /** Pages from `first` on, as `progress` has them now. */
  note(first: number, pages: number): void {
    const words = new Uint32Array(pages * ENTRY);
    for (let at = 0; at < pages; at++)
      words.set(
        FIELDS.map((field) => this.progress[field][first + at]!),
        at * ENTRY,
      );
    writeSync(this.#file, words, 0, words.byteLength, first * ENTRY * 4);
  }

  /** What was found after a crash is where the writer goes on from: numbers already used stay used. */
  found(sequences: Uint32Array): void {
    const { begun, acknowledged, synced } = this.read();
    this.progress.begun.set(begun);
    acknowledged.set(sequences);
    synced.set(sequences);
    this.progress.acknowledged.set(acknowledged);
    this.progress.synced.set(synced);
    this.note(0, this.#pages);
  }

  close(): void {
    closeSync(this.#file);
  }
}
