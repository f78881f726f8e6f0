import assert from 'node:assert/strict';
import { cp, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import { MARK_BYTES, MARK_SLOT_STEP, packMarkSlot } from '../../src/format/commit-number.js';
import { MARK_FILE, readMark } from '../../src/store/commit-mark.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { MarkedStore } from '../../src/store/marked-store.js';
import { makePoolStore, openPoolStore } from '../../src/store/pool-store.js';
import { CrashStore } from '../support/crash-store.js';
import { FUZZ_RUNS } from '../support/fuzzing.js';
import { hurt, injuries } from '../support/hurt-file.js';
import { useScratch } from '../support/mounts.js';
import { assertNumbered, numberedBatch, numberedLast } from '../support/numbered-batches.js';

const SYNC = { sync: true };

describe('a marked store', () => {
  const scratch = useScratch();
  let folder: string;
  let opened: MarkedStore[];

  afterEach(async () => {
    // Frozen ones among them.
    for (const store of opened) await store.close().catch(() => undefined);
  });

  beforeEach(async () => {
    folder = scratch.current.at('store');
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
    opened = [];
  });

  const markFile = (): string => path.join(folder, MARK_FILE);

  /** Opens, and says what was noted. */
  async function noted(inner: CrashStore): Promise<{ store: MarkedStore; notes: string[] }> {
    const notes: string[] = [];
    const store = await MarkedStore.over(inner, folder, { onNote: (text) => notes.push(text) });
    opened.push(store);
    return { store, notes };
  }

  async function refused(inner: CrashStore): Promise<ThinError> {
    const error: unknown = await MarkedStore.over(inner, folder).then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof ThinError, 'it is refused');
    assert.equal(error.code, 'damaged');
    assert.equal(error.exitCode, 7);
    return error;
  }

  async function withCommits(count: number): Promise<CrashStore> {
    const inner = new CrashStore();
    const store = await MarkedStore.over(inner, folder);
    for (let n = 1; n <= count; n++) await store.batch(numberedBatch(n), SYNC);
    await store.close();
    return new CrashStore(inner.contents);
  }

  it('takes a store without a number, as pools of before are, without a word', async () => {
    const inner = new CrashStore();
    await inner.batch(numberedBatch(1), SYNC);
    const { store, notes } = await noted(inner);
    await store.batch(numberedBatch(2), SYNC);
    assert.deepEqual(notes, []);
    assert.equal((await stat(markFile())).size, MARK_BYTES);
    assert.equal((await stat(markFile())).mode & 0o777, 0o600);
    const again = await noted(new CrashStore(inner.contents));
    assert.deepEqual(again.notes, []);
    assert.equal(numberedLast(again.store), 2);
  });

  it('opens after a crash at each batch, with the mark as it was then and as it was at any time before', async () => {
    const COMMITS = 6;
    for (let frozen = 0; frozen <= COMMITS; frozen++) {
      await rm(markFile(), { force: true });
      const inner = new CrashStore();
      inner.freezeAt(frozen);
      const { store } = await noted(inner);
      const marks = [await readFile(markFile())];
      for (let n = 1; n <= COMMITS; n++)
        await store.batch(numberedBatch(n), { sync: true, landmark: n % 2 === 0 }).then(
          async () => marks.push(await readFile(markFile())),
          () => undefined,
        );
      const mark = await readMark(folder);
      assert.equal(
        typeof mark === 'object' ? mark.number : mark,
        frozen,
        'the mark has what was acknowledged',
      );
      for (const bytes of marks) {
        await writeFile(markFile(), bytes);
        const left = await noted(inner.crash());
        assert.deepEqual(left.notes, []);
        assert.equal(left.store.older, undefined);
        await left.store.batch([], SYNC);
      }
    }
  });

  it('opens where a commit went through whose mark was not written any more', async () => {
    const inner = await withCommits(3);
    const before = await readFile(markFile());
    const store = await MarkedStore.over(inner, folder);
    await store.batch(numberedBatch(4), SYNC);
    await store.close();
    await writeFile(markFile(), before);
    const { notes } = await noted(new CrashStore(inner.contents));
    assert.deepEqual(notes, []);
  });

  it('does not wait for unsynced batches, which may be lost', async () => {
    const inner = new CrashStore();
    const store = await MarkedStore.over(inner, folder);
    await store.batch(numberedBatch(1), SYNC);
    await store.batch(numberedBatch(2), { sync: false });
    await store.close();
    const { store: left } = await noted(inner.crash());
    assert.equal(numberedLast(left), 1);
  });

  it('refuses a store that is older, or that never counted, saying how much is missing', async () => {
    const old = (await withCommits(3)).contents;
    const inner = new CrashStore(old);
    const store = await MarkedStore.over(inner, folder);
    for (const n of [4, 5]) await store.batch(numberedBatch(n), SYNC);
    await store.close();
    const error = await refused(new CrashStore(old));
    assert.deepEqual(error.details, { path: folder, stored: 3, acknowledged: 5, missing: 2 });
    assert.match(error.message, /lacks the last 2 commits that were acknowledged .*thinfuse repair --output/);
    assert.equal((await refused(new CrashStore())).details['missing'], 5);
    // Nothing that was asked about it changed it.
    assert.equal((await refused(new CrashStore(old))).details['missing'], 2);
  });

  it('takes an older store that is accepted, from then on as any other', async () => {
    const old = (await withCommits(3)).contents;
    const newer = await MarkedStore.over(new CrashStore(old), folder);
    await newer.batch(numberedBatch(4), SYNC);
    await newer.close();
    const inner = new CrashStore(old);
    const accepted = await MarkedStore.over(inner, folder, { acceptOlder: true });
    assert.deepEqual(accepted.older, { stored: 3, acknowledged: 4 });
    // Only what is committed accepts it.
    await refused(new CrashStore(old));
    await accepted.batch([], { sync: true, landmark: true });
    await accepted.close();
    const { store, notes } = await noted(new CrashStore(inner.contents));
    assert.deepEqual(notes, []);
    assert.equal(numberedLast(store), 3);
  });

  it('makes a mark anew that is lost, unreadable or of another store, and says so', async () => {
    const inner = await withCommits(3);
    const whole = await readFile(markFile());
    const other = packMarkSlot({ store: 'another', number: 77 });
    const foreign = Buffer.alloc(MARK_BYTES);
    foreign.set(other, 0);
    foreign.set(other, MARK_SLOT_STEP);
    const cases: readonly (readonly [RegExp, () => Promise<unknown>])[] = [
      [/is missing/, () => rm(markFile())],
      [/is damaged/, () => truncate(markFile(), 0)],
      [/is damaged/, () => writeFile(markFile(), Buffer.alloc(MARK_BYTES))],
      [/is damaged/, () => writeFile(markFile(), Buffer.alloc(MARK_BYTES, 255))],
      [/another pool's/, () => writeFile(markFile(), foreign)],
    ];
    for (const [about, damage] of cases) {
      await writeFile(markFile(), whole);
      await damage();
      const first = await noted(new CrashStore(inner.contents));
      assert.equal(first.notes.length, 1);
      assert.match(first.notes[0]!, about);
      const mark = await readMark(folder);
      assert.equal(typeof mark === 'object' ? mark.number : mark, 3, String(about));
      assert.deepEqual((await noted(new CrashStore(inner.contents))).notes, []);
    }
  });

  it('loses nothing by any damage to its mark, alone', async () => {
    const inner = await withCommits(5);
    const whole = await readFile(markFile());
    const other = path.join(folder, 'other');
    await fc.assert(
      fc.asyncProperty(injuries, async (injury) => {
        await writeFile(markFile(), whole);
        await writeFile(other, Buffer.alloc(9000, 3));
        hurt(markFile(), other, injury);
        const store = await MarkedStore.over(new CrashStore(inner.contents), folder);
        await store.batch([], SYNC);
        await store.close();
        const mark = await readMark(folder);
        assert.equal(typeof mark === 'object' ? mark.number : mark, 6);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  it('is found to be older whatever became of one slot of its mark', async () => {
    const old = (await withCommits(3)).contents;
    const newer = await MarkedStore.over(new CrashStore(old), folder);
    for (const n of [4, 5]) await newer.batch(numberedBatch(n), SYNC);
    await newer.close();
    const whole = await readFile(markFile());
    await fc.assert(
      fc.asyncProperty(fc.nat(MARK_SLOT_STEP - 1), fc.nat(1), fc.nat(7), async (at, slot, bit) => {
        const bytes = Buffer.from(whole);
        bytes[slot * MARK_SLOT_STEP + at]! ^= 1 << bit;
        await writeFile(markFile(), bytes);
        await refused(new CrashStore(old));
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  it('needs one slot of the two', async () => {
    const inner = await withCommits(4);
    const whole = await readFile(markFile());
    for (const at of [0, MARK_SLOT_STEP])
      for (const length of [1, 100, 512]) {
        const torn = Buffer.from(whole);
        torn.fill(0xaa, at, at + length);
        await writeFile(markFile(), torn);
        assert.deepEqual((await noted(new CrashStore(inner.contents))).notes, []);
      }
  });

  it('goes on without a mark that cannot be made, and says so', async () => {
    const inner = await withCommits(2);
    await rm(markFile());
    // Where the new one is written first.
    await mkdir(`${markFile()}.new`);
    await writeFile(path.join(`${markFile()}.new`, 'full'), '');
    const { store, notes } = await noted(new CrashStore(inner.contents));
    assert.match(notes.at(-1)!, /kept nowhere but in the store/);
    await store.batch(numberedBatch(3), SYNC);
    assert.equal(numberedLast(store), 3);
  });

  it('does not believe a number that is damaged', async () => {
    const inner = await withCommits(2);
    inner.flipBit(Uint8Array.of('k'.charCodeAt(0)), 99);
    assert.match((await refused(inner)).message, /commit number is damaged/);
    const accepted = await MarkedStore.over(new CrashStore(inner.contents), folder, { acceptOlder: true });
    assert.equal(accepted.older, undefined);
    await accepted.batch([], SYNC);
    await accepted.close();
  });

  it('finds a log of LevelDB that was cut between two batches, and takes a copy of the whole folder', async () => {
    const place = path.join(folder, 'level');
    const store = await makePoolStore(place);
    const log = async (): Promise<string> =>
      path.join(
        place,
        (await readdir(place)).find((name) => name.endsWith('.log'))!,
      );
    for (let n = 1; n <= 4; n++) await store.batch(numberedBatch(n), SYNC);
    const { size } = await stat(await log());
    for (let n = 5; n <= 7; n++) await store.batch(numberedBatch(n), SYNC);
    await store.close();
    const copy = path.join(folder, 'copy');
    await cp(place, copy, { recursive: true });
    await truncate(await log(), size);
    await assert.rejects(openPoolStore(place), (error) => {
      assert.ok(error instanceof ThinError);
      assert.equal(error.code, 'damaged');
      assert.equal(error.details['missing'], 3);
      return true;
    });
    // The refusal let go of the store, and LevelDB alone would have said nothing.
    const silent = await openLevelStore(place);
    assert.equal(numberedLast(silent), 4);
    await silent.close();
    const whole = await openPoolStore(copy);
    assertNumbered(whole);
    assert.equal(numberedLast(whole), 7);
    await whole.close();
  });

  it('has lost a whole store where only its mark is left', async () => {
    const place = path.join(folder, 'level');
    await (await makePoolStore(place)).close();
    for (const name of await readdir(place)) if (name !== MARK_FILE) await rm(path.join(place, name));
    await assert.rejects(openPoolStore(place), { code: 'damaged' });
    await assert.rejects(makePoolStore(place), { code: 'damaged' });
  });

  it('writes the mark in place, so that it needs no room', async () => {
    const inner = await withCommits(1);
    const before = await stat(markFile());
    const store = await MarkedStore.over(inner, folder);
    for (let n = 2; n < 20; n++) await store.batch(numberedBatch(n), SYNC);
    await store.close();
    const after = await stat(markFile());
    assert.equal(after.ino, before.ino);
    assert.equal(after.blocks, before.blocks);
    assert.equal(after.size, MARK_BYTES);
  });
});
