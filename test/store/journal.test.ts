import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import { JournalKind, type StoredRecord } from '../../src/format/journal-record.js';
import { Journal } from '../../src/store/journal.js';
import { JournalWriter } from '../../src/store/journal-writer.js';
import { readJournal } from '../../src/store/read-journal.js';
import { FUZZ_RUNS } from '../support/fuzzing.js';
import { hurt, HOWS, injuries } from '../support/hurt-file.js';
import { useScratch } from '../support/mounts.js';

const BLOCK = 65536;
const THREADS = 3;
const RUNS = Math.ceil(FUZZ_RUNS / 5);
const CHILD = fileURLToPath(new URL('../support/journal-child.ts', import.meta.url));

interface Step {
  readonly thread: number;
  readonly bytes: number;
  readonly then: 'commit' | 'failed-commit' | undefined;
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    thread: fc.nat(THREADS - 1),
    // No payload, one in a page, one that crosses pages.
    bytes: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 3000 }), fc.integer({ min: 1, max: BLOCK })),
    then: fc.oneof(
      { weight: 6, arbitrary: fc.constant(undefined) },
      { weight: 2, arbitrary: fc.constant('commit' as const) },
      { weight: 1, arbitrary: fc.constant('failed-commit' as const) },
    ),
  }),
  { minLength: 1, maxLength: 40 },
);

describe('a journal', () => {
  const scratch = useScratch();
  let folder: string;

  beforeEach(async () => {
    folder = scratch.current.at('journal');
    await rm(folder, { recursive: true, force: true });
  });

  /** Does the steps. @returns what was written down and not committed, by sequence: the number of bytes, filled with the sequence */
  async function write(all: readonly Step[]): Promise<Map<number, number>> {
    const journal = await Journal.begin(folder, BLOCK);
    const writers = Array.from({ length: THREADS }, (_, thread) => new JournalWriter(journal.memory, thread));
    const left = new Map<number, number>();
    let sequence = 0;
    for (const { thread, bytes, then } of all) {
      sequence++;
      if (bytes === 0) writers[thread]!.map(1, sequence, sequence, 1);
      else writers[thread]!.data(sequence, 0, new Uint8Array(bytes).fill(sequence % 251), 0, bytes);
      left.set(sequence, bytes);
      if (then === undefined) continue;
      const generation = journal.advance();
      if (then === 'failed-commit') continue;
      journal.retire(generation);
      left.clear();
    }
    for (const writer of writers) writer.close();
    journal.writer.close();
    return left;
  }

  function check(records: readonly StoredRecord[], left: ReadonlyMap<number, number>): void {
    assert.deepEqual(
      records.map(({ sequence, payload }) => [Number(sequence), payload.length]),
      [...left],
    );
    for (const { sequence, payload } of records)
      assert.ok(payload.every((byte) => byte === Number(sequence) % 251));
  }

  it('gives back what was written and not committed, through any order of writes and commits', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (all) => {
        const left = await write(all);
        check((await readJournal(folder)).records, left);
      }),
      { numRuns: RUNS },
    );
  });

  it('finds any damage to what counts of it', async () => {
    const found = new Set<string>();
    await fc.assert(
      fc.asyncProperty(steps, injuries, async (all, { how, at, length }) => {
        const left = await write(all);
        const names = (await readdir(folder)).sort();
        const written = names.filter((name) => statSync(path.join(folder, name)).size > 64);
        // Mostly where there is something.
        const among = at % 4 === 0 || written.length === 0 ? names : written;
        hurt(path.join(folder, among[at % among.length]!), path.join(folder, names[length % names.length]!), {
          how,
          at,
          length,
        });
        let records: readonly StoredRecord[];
        try {
          ({ records } = await readJournal(folder));
        } catch (error) {
          assert.ok(error instanceof ThinError, String(error));
          assert.equal(error.code, 'damaged');
          found.add(how);
          return;
        }
        check(records, left);
      }),
      { numRuns: 4 * RUNS },
    );
    assert.deepEqual([...found].sort(), [...HOWS].sort(), 'each was found at least once');
  });

  it('says which blocks may be lost', async () => {
    const journal = await Journal.begin(folder, BLOCK);
    for (const block of [5, 6, 7, 20]) journal.writer.map(3, block, block, 1);
    journal.writer.data(8, 0, new Uint8Array(100), 0, 100);
    journal.writer.close();
    const file = path.join(folder, '1.16.1');
    const bytes = readFileSync(file);
    bytes[30]! ^= 4;
    writeFileSync(file, bytes);
    await assert.rejects(readJournal(folder), (error) => {
      assert.ok(error instanceof ThinError);
      assert.match(error.message, /1\.16\.1 is damaged: there is no whole record at byte 0\./);
      // The block of the record that is damaged is not known.
      assert.match(error.message, /device 3, blocks 6 to 7; device 3, blocks 20; chunks 8$/);
      return true;
    });
  });

  it('goes on behind what the last process left, until that is committed', async () => {
    const left = await write([{ thread: 0, bytes: 100, then: undefined }]);
    const second = await Journal.begin(folder, BLOCK, await readJournal(folder));
    check(second.left, left);
    second.writer.data(2, 0, new Uint8Array(50).fill(2), 0, 50);
    check((await readJournal(folder)).records, new Map([...left, [2, 50]]));
    second.release();
    second.retire(second.advance());
    assert.deepEqual((await readJournal(folder)).records, []);
    assert.ok((await readdir(folder)).every((name) => !name.startsWith('1.')));
    second.writer.close();
  });

  it('reads what was written before records had checksums', async () => {
    await mkdir(folder);
    const record = Buffer.alloc(64 + 8);
    record.writeUInt32LE(0x314a4654, 0);
    record.writeUInt32LE(72, 4);
    record.writeBigUInt64LE(9n, 8);
    record.writeUInt32LE(4, 16);
    record.writeUInt32LE(JournalKind.DATA, 20);
    record.writeUInt32LE(17, 32);
    record.writeUInt32LE(3, 52);
    record.write('abc', 56);
    record.writeBigUInt64LE(9n, 64);
    const state = Buffer.alloc(4);
    state.writeUInt32LE(3);
    await writeFile(path.join(folder, 'retired'), state);
    await writeFile(path.join(folder, '1.0.0'), Buffer.concat([record, Buffer.alloc(30, 7)]));
    const read = await readJournal(folder);
    assert.deepEqual(
      read.records.map(({ sequence, chunk, payload }) => [sequence, chunk, Buffer.from(payload).toString()]),
      [[9n, 17, 'abc']],
    );
    const journal = await Journal.begin(folder, BLOCK, read);
    journal.writer.data(18, 0, Buffer.from('de'), 0, 2);
    assert.deepEqual(
      (await readJournal(folder)).records.map(({ sequence, chunk }) => [sequence, chunk]),
      [
        [9n, 17],
        [10n, 18],
      ],
    );
    journal.release();
    journal.retire(journal.advance());
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.startsWith('1.')),
      [],
    );
    journal.writer.close();
  });

  it('is whole whenever its process is killed', async function () {
    this.timeout(180_000);
    for (let round = 0; round < 3; round++) {
      const child = scratch.current.start(process.execPath, ['--import', 'tsx', CHILD, folder], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const gone = once(child, 'close');
      let acknowledged = 0;
      for await (const line of createInterface(child.stdout!)) {
        acknowledged = Number(line);
        if (acknowledged > 300 * (round + 1)) child.kill('SIGKILL');
      }
      await gone;
      const { records } = await readJournal(folder);
      const last = Number(records.at(-1)?.sequence ?? 0n);
      assert.ok(last >= acknowledged, `${last} there, ${acknowledged} acknowledged`);
      // The child commits every hundred.
      assert.ok(records.length <= 200);
      records.forEach(({ sequence }, i) => assert.equal(Number(sequence), last - records.length + 1 + i));
    }
  });
});
