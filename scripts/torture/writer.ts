/**
 * A process that writes stamped pages until writing fails or it is told to stop, and notes in its journal
 * what it began, what was acknowledged and what was synced: `writer.ts JOURNAL WRITER SEED`. Its parent
 * speaks with it over IPC.
 */
import { systemErrorCode, toThinError } from '../../src/errors/thin-error.js';
import { seededNumbers } from '../../test/support/sector-workload.js';
import { PAGE, stampedPage } from '../../test/support/stamped-pages.js';
import { Journal } from './journal.js';
import { MOST_PAGES, openPlace, PAGES, type Place, type PlaceKind } from './places.js';

/** To a writer. */
export type WriterOrder =
  | { readonly kind: 'write'; readonly place: PlaceKind; readonly where: string }
  | { readonly kind: 'pause' }
  /** What a verification has found, by page; the writer goes on from there. */
  | { readonly kind: 'found'; readonly sequences: readonly number[] };

/** From a writer, once after each `write` and `found`. */
export type WriterReport =
  | { readonly kind: 'stopped'; readonly syncs: number; readonly error: string | undefined }
  | { readonly kind: 'noted' };

/** Milliseconds for which it writes without looking for orders. */
const SLICE = 20;
/** And for which it leaves the daemon to others then. */
const BREATH = 10;

class Writer {
  readonly #journal: Journal;
  readonly #writer: number;
  readonly #random: (below: number) => number;
  #place: Place | undefined;
  #syncs = 0;
  #litter = 0;

  constructor(journal: string, writer: number, seed: number) {
    this.#journal = new Journal(journal, PAGES);
    this.#writer = writer;
    this.#random = seededNumbers(seed);
  }

  obey(order: WriterOrder): void {
    switch (order.kind) {
      case 'write':
        this.#begin(order.place, order.where);
        return;
      case 'pause':
        this.#stop(undefined);
        return;
      case 'found':
        this.#journal.found(Uint32Array.from(order.sequences));
        report({ kind: 'noted' });
    }
  }

  #begin(kind: PlaceKind, where: string): void {
    this.#syncs = 0;
    try {
      this.#place = openPlace(kind, where);
    } catch (error) {
      this.#stop(error);
      return;
    }
    setImmediate(() => this.#work());
  }

  #work(): void {
    const until = performance.now() + SLICE;
    try {
      while (performance.now() < until) {
        if (this.#place === undefined) return;
        this.#step(this.#place);
      }
      setTimeout(() => this.#work(), BREATH);
    } catch (error) {
      this.#stop(error);
    }
  }

  #stop(error: unknown): void {
    // An order to pause may find that the writer has failed, and said so, already.
    if (this.#place === undefined && error === undefined) return;
    this.#place?.close();
    this.#place = undefined;
    const text = error === undefined ? undefined : (systemErrorCode(error) ?? toThinError(error).message);
    report({ kind: 'stopped', syncs: this.#syncs, error: text });
  }

  #step(place: Place): void {
    const page = this.#random(PAGES);
    const dice = this.#random(100);
    if (dice < 72) this.#write(place, page, Math.min(place.room(page), 1 + this.#random(MOST_PAGES)));
    else if (dice < 92) this.#sync(place, page);
    else if (dice < 97) this.#replace(place, page);
    else place.litter(this.#litter++);
  }

  #write(place: Place, first: number, pages: number): void {
    const bytes = this.#next(first, pages);
    place.write(first, bytes);
    this.#mark('acknowledged', 'begun', first, pages);
  }

  #sync(place: Place, page: number): void {
    const { first, pages } = place.sync(page);
    this.#mark('synced', 'acknowledged', first, pages);
    this.#syncs++;
  }

  #replace(place: Place, page: number): void {
    let range = { first: 0, pages: 0 };
    place.replace(page, (first, pages) => {
      range = { first, pages };
      return this.#next(first, pages);
    });
    this.#mark('acknowledged', 'begun', range.first, range.pages);
    this.#mark('synced', 'acknowledged', range.first, range.pages);
    this.#syncs++;
  }

  /** The next stamps of these pages, noted as begun. */
  #next(first: number, pages: number): Uint8Array {
    const { begun } = this.#journal.progress;
    const bytes = new Uint8Array(pages * PAGE);
    for (let at = 0; at < pages; at++) {
      const sequence = begun[first + at]! + 1;
      begun[first + at] = sequence;
      bytes.set(stampedPage(first + at, this.#writer, sequence), at * PAGE);
    }
    this.#journal.note(first, pages);
    return bytes;
  }

  #mark(to: 'acknowledged' | 'synced', from: 'begun' | 'acknowledged', first: number, pages: number): void {
    const { progress } = this.#journal;
    progress[to].set(progress[from].subarray(first, first + pages), first);
    this.#journal.note(first, pages);
  }
}

function report(message: WriterReport): void {
  process.send?.(message);
}

const [journal = '', ...numbers] = process.argv.slice(2);
const [number = 0, seed = 1] = numbers.map(Number);
const writer = new Writer(journal, number, seed);
process.on('message', (order: WriterOrder) => {
  writer.obey(order);
});
process.once('disconnect', () => process.exit());
report({ kind: 'noted' });
