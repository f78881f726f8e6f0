import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { KernelTransport } from '../../src/fuse/kernel-transport.js';
import { ChildProcessExec } from '../../src/host/exec.js';
import { HolePuncher } from '../../src/host/hole-puncher.js';
import { createPool } from '../../src/pool/create-pool.js';
import type { PoolKind } from '../../src/pool/info.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { MemoryDirectory } from '../../src/testing/memory-image.js';
import { requireMounts, useScratch } from '../support/mounts.js';
import { BLOCK, TEST_OPTIONS } from '../support/small-pool.js';
import { JOURNAL_ENTRY, PAGE, sequenceOf } from '../support/stamped-pages.js';

const WRITERS = 3;
const BLOCKS = 48;
const PAGES = WRITERS * Math.floor((BLOCKS * BLOCK) / PAGE / WRITERS);
/**
 * Behind the writers' pages: written and discarded over and over, so that chunks change hands all the time.
 */
const CHURN_BLOCKS = 16;
const SNAPSHOTS = 12;
const KEPT = 4;

/** Sequence numbers of all pages: begun and acknowledged. */
interface Progress {
  readonly begun: readonly number[];
  readonly acknowledged: readonly number[];
}

describe('one device under several processes, while snapshots come and go', function () {
  this.timeout(300_000);
  requireMounts();
  const scratch = useScratch();
  let at: (name: string) => string;

  for (const kind of ['direct', 'leveldb'] as const satisfies readonly PoolKind[])
    it(`accounts for every byte in a ${kind} pool`, async () => {
      at = (name) => scratch.current.at(`${kind}-${name}`);
      const store = await openLevelStore(at('pool'), { createIfMissing: true });
      await createPool(store, {
        path: 'pool',
        kind,
        blockSize: BLOCK,
        dataSize: 1024 * BLOCK,
        metadataSize: 64 * 2 ** 20,
        options: { ...TEST_OPTIONS, baseSize: (BLOCKS + CHURN_BLOCKS) * BLOCK },
      });
      const handle = await open(at('data'), 'w+');
      await handle.truncate(1024 * BLOCK);
      const puncher = new HolePuncher(new ChildProcessExec());
      const pool = await openPool(store, {
        // Little of everything, so that evictions, commits and refills happen all the time.
        chunkCache: 40 * BLOCK,
        stagedBytes: 8 * BLOCK,
        commitInterval: 20,
        ...(kind === 'direct'
          ? { data: { handle, punch: (ranges) => puncher.punch(at('data'), ranges) } }
          : {}),
      });
      if (kind === 'leveldb') await handle.close();
      scratch.current.defer(() => pool.close());
      const directory = new MemoryDirectory();
      await mkdir(at('dev'));
      const transport = new KernelTransport(at('dev'), directory, { threads: 3 });
      await transport.mount();
      scratch.current.defer(() => transport.unmount());
      directory.files.set('base', await pool.activate(BASE_NAME));

      const seed = Date.now() % 2 ** 31;
      const writers = await startWriters(seed);
      const watch = new SnapshotWatch(pool, () => progressOf());
      try {
        for (let round = 0; round < SNAPSHOTS; round++) {
          await churn(pool, round);
          await watch.take(`s${round}` as DeviceName);
          if (round >= KEPT) await watch.drop();
        }
        let writes = 0;
        for (const { child, output } of writers) {
          child.stdin!.end();
          const [code] = (await once(child, 'exit')) as [number | null];
          assert.equal(code, 0, `a writer found what it had not written (seed ${seed})`);
          writes += Number(output.join(''));
        }
        assert.ok(writes > 0);
        await watch.verifyAll();
      } catch (error) {
        throw new Error(`with seed ${seed}`, { cause: error });
      }
      directory.files.delete('base');
      await transport.unmount();
      await pool.deactivate(BASE_NAME);
      await pool.settle();
      assert.deepEqual((await pool.check()).findings, []);
    });

  const journal = (writer: number): string => at(`journal-${writer}`);

  async function startWriters(seed: number): Promise<{ child: ChildProcess; output: string[] }[]> {
    const script = fileURLToPath(new URL('../support/stress-writer.ts', import.meta.url));
    const started: { child: ChildProcess; output: string[] }[] = [];
    for (let writer = 0; writer < WRITERS; writer++) {
      const numbers = [writer, WRITERS, PAGES, seed + writer].map(String);
      const args = ['--import', 'tsx', script, `${at('dev')}/base`, journal(writer), ...numbers];
      const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
      scratch.current.defer(() => child.kill('SIGKILL'));
      const output: string[] = [];
      child.stdout.setEncoding('utf8').on('data', (piece: string) => output.push(piece));
      started.push({ child, output });
    }
    // They have begun, all of them.
    for (let writer = 0; writer < WRITERS; writer++)
      while (!progressOf().acknowledged.some((count, page) => page % WRITERS === writer && count > 0))
        await new Promise((resolve) => setTimeout(resolve, 20));
    return started;
  }

  function progressOf(): Progress {
    const begun = new Array<number>(PAGES).fill(0);
    const acknowledged = new Array<number>(PAGES).fill(0);
    for (let writer = 0; writer < WRITERS; writer++) {
      let bytes: Buffer;
      try {
        bytes = readFileSync(journal(writer));
      } catch {
        continue;
      }
      for (let at = 0; at + JOURNAL_ENTRY <= bytes.length; at += JOURNAL_ENTRY) {
        const page = (at / JOURNAL_ENTRY) * WRITERS + writer;
        begun[page] = bytes.readUInt32LE(at);
        acknowledged[page] = bytes.readUInt32LE(at + 4);
      }
    }
    return { begun, acknowledged };
  }
});

/**
 * Chunks that are written, read and discarded behind the writers' backs; every second time before a commit
 * could see them.
 */
async function churn(pool: ThinPool, round: number): Promise<void> {
  const base = pool.active(BASE_NAME)!;
  for (let turn = 0; turn < 4; turn++) {
    const stamp = 1 + ((round * 4 + turn) % 250);
    const bytes = new Uint8Array(CHURN_BLOCKS * BLOCK).fill(stamp);
    await base.write(BLOCKS * BLOCK, bytes);
    if (turn % 2 === 0) await base.flush();
    const found = new Uint8Array(bytes.length);
    await base.read(BLOCKS * BLOCK, found);
    assert.ok(Buffer.compare(found, bytes) === 0, 'a discarded chunk came back while its next owner used it');
    await base.discard(BLOCKS * BLOCK, bytes.length);
  }
}

/**
 * Snapshots of a device that is written to, each held to what was acknowledged before it and begun when it
 * was there.
 */
class SnapshotWatch {
  readonly #pool: ThinPool;
  readonly #progress: () => Progress;
  readonly #contents = new Map<DeviceName, Uint8Array>();

  constructor(pool: ThinPool, progress: () => Progress) {
    this.#pool = pool;
    this.#progress = progress;
  }

  async take(name: DeviceName): Promise<void> {
    const before = this.#progress().acknowledged;
    await this.#pool.createSnapshot({ name, origin: BASE_NAME, kind: 'snapshot' });
    const after = this.#progress().begun;
    const contents = await this.#read(name);
    for (let page = 0; page < PAGES; page++) {
      const found = sequenceOf(contents.subarray(page * PAGE, (page + 1) * PAGE), page, page % WRITERS);
      assert.ok(
        found >= before[page]! && found <= after[page]!,
        `${name}, page ${page}: ${found} is not from ${before[page]} to ${after[page]}`,
      );
    }
    this.#contents.set(name, contents);
  }

  /** The oldest one goes, and is the same until then. */
  async drop(): Promise<void> {
    const [name] = this.#contents.keys();
    await this.#verify(name!);
    this.#contents.delete(name!);
    await this.#pool.remove(name!);
  }

  async verifyAll(): Promise<void> {
    for (const name of this.#contents.keys()) await this.#verify(name);
  }

  async #verify(name: DeviceName): Promise<void> {
    assert.ok(
      Buffer.compare(await this.#read(name), this.#contents.get(name)!) === 0,
      `${name} has changed since it was taken`,
    );
  }

  async #read(name: DeviceName): Promise<Uint8Array> {
    const file = await this.#pool.activate(name);
    const bytes = new Uint8Array(PAGES * PAGE);
    await file.read(0, bytes);
    await this.#pool.deactivate(name);
    return bytes;
  }
}
