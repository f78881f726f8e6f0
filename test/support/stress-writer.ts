/**
 * Hammers one image file: `stress-writer.ts IMAGE JOURNAL WRITER WRITERS PAGES SEED`. Writes stamped pages
 * that are its own (every WRITERS-th, so that chunks are shared with the others), notes in its journal what
 * it has begun and what was acknowledged, and reads back pages of its own in between. Ends when its standard
 * input does; exit code 0: everything read was what it had written last.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { JOURNAL_ENTRY, PAGE, sequenceOf, stampedPage } from './stamped-pages.js';

const [image, journal, ...numbers] = process.argv.slice(2);
const [writer = 0, writers = 1, pages = 1, seed = 1] = numbers.map(Number);
const file = openSync(image!, 'r+');
const log = openSync(journal!, 'w+');
const own = Math.floor(pages / writers);
const last = new Uint32Array(own);
const entry = new Uint32Array(2);
let state = seed >>> 0 || 1;
const random = (below: number): number => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) % below;
};
const note = (index: number, begun: number, acknowledged: number): void => {
  entry.set([begun, acknowledged]);
  writeSync(log, new Uint8Array(entry.buffer), 0, JOURNAL_ENTRY, index * JOURNAL_ENTRY);
};
const verify = (index: number): void => {
  const page = index * writers + writer;
  const bytes = new Uint8Array(PAGE);
  readSync(file, bytes, 0, PAGE, page * PAGE);
  const found = sequenceOf(bytes, page, writer);
  if (found !== last[index]) throw new Error(`page ${page}: read ${found}, wrote ${last[index]}`);
};

let stopping = false;
process.stdin.resume().once('end', () => (stopping = true));
const round = (): void => {
  for (let step = 0; step < 50; step++) {
    const index = random(own);
    const page = index * writers + writer;
    const sequence = last[index]! + 1;
    note(index, sequence, last[index]!);
    writeSync(file, stampedPage(page, writer, sequence), 0, PAGE, page * PAGE);
    last[index] = sequence;
    note(index, sequence, sequence);
    verify(random(own));
  }
  if (!stopping) setImmediate(round);
  else {
    for (let index = 0; index < own; index++) verify(index);
    closeSync(file);
    process.stdout.write(`${String(last.reduce((sum, count) => sum + count, 0))}\n`);
  }
};
round();
