import { readSuperblock } from '../../src/metadata/open-metadata.js';
import { createPool } from '../../src/pool/create-pool.js';
import type { PoolKind } from '../../src/pool/info.js';
import type { OpenPoolOptions } from '../../src/pool/open-options.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { PoolLog } from '../../src/store/pool-log.js';
import { CrashFile } from './crash-file.js';
import { CrashLog, type LogContents } from './crash-log.js';
import { CrashStore } from './crash-store.js';
import type { Scratch } from './mounts.js';
import { BLOCK, TEST_OPTIONS } from './small-pool.js';

/** What a machine that stopped has on its disk, beside the store. */
export interface LeftOnDisk {
  readonly log: LogContents | undefined;
  readonly data: Buffer;
}

/** Machines with a pool in small files of their own; one is the next start of another. */
export class CrashMachines {
  readonly #scratch: { readonly current: Scratch };
  readonly #chunks: number;
  #made = 0;

  /** @param chunks of the pool's data */
  constructor(scratch: { readonly current: Scratch }, chunks: number) {
    this.#scratch = scratch;
    this.#chunks = chunks;
  }

  /** With a new pool. */
  async first(kind: PoolKind): Promise<CrashMachine> {
    const store = new CrashStore();
    await createPool(store, {
      path: 'memory',
      kind,
      blockSize: BLOCK,
      dataSize: this.#chunks * BLOCK,
      metadataSize: 64 * 2 ** 20,
      options: TEST_OPTIONS,
    });
    return this.next(kind, store, 'first');
  }

  /** @param place where the log lies: it is known by that */
  next(kind: PoolKind, store: CrashStore, place: string, left?: LeftOnDisk): CrashMachine {
    const number = this.#made++;
    const machine = {
      isStopped: () => store.frozen,
      stop: () => {
        store.freeze();
      },
    };
    const at = (name: string): string => this.#scratch.current.at(`${name}-${number}`);
    const log = new CrashLog(at('machine'), place, machine, left?.log);
    const content = left?.data ?? Buffer.alloc(this.#chunks * BLOCK);
    return new CrashMachine(kind, {
      store,
      log,
      data: kind === 'direct' ? new CrashFile(at('data'), content, machine) : undefined,
    });
  }
}

/** A machine with a pool. What stops it stops all its files at once. */
export class CrashMachine {
  readonly kind: PoolKind;
  readonly store: CrashStore;
  readonly log: CrashLog;
  readonly data: CrashFile | undefined;

  constructor(
    kind: PoolKind,
    files: { readonly store: CrashStore; readonly log: CrashLog; readonly data: CrashFile | undefined },
  ) {
    this.kind = kind;
    this.store = files.store;
    this.log = files.log;
    this.data = files.data;
  }

  /** @param ring bytes of the log, by the pool's kind */
  async open(ring: Readonly<Record<PoolKind, number>>, options: OpenPoolOptions): Promise<ThinPool> {
    const { uuid } = readSuperblock(this.store);
    const log = await PoolLog.open('memory', this.store, {
      uuid,
      isDirect: this.kind === 'direct',
      ring: ring[this.kind],
      onNote: () => undefined,
      files: this.log,
    });
    const { data } = this;
    return openPool(this.store, {
      ...options,
      log,
      ...(data !== undefined && { data: { handle: data.handle, punch: data.punch, punchDelay: 0 } }),
    });
  }

  /** After its power went: of what was not synced, anything may be missing. */
  crashed(seed: number): LeftOnDisk {
    return { log: this.log.crash(seed), data: this.data?.crash(seed) ?? Buffer.alloc(0) };
  }

  /** After its process died. */
  killed(): LeftOnDisk {
    return { log: this.log.left(), data: this.data?.current() ?? Buffer.alloc(0) };
  }

  async leave(pool: ThinPool | undefined): Promise<void> {
    this.store.freeze();
    await pool?.close().catch(() => undefined);
    await this.log.remove();
    await this.data?.remove();
  }
}
