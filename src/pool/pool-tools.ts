import { ThinError } from '../errors/thin-error.js';
import { transactionId, type DeviceName } from '../format/ids.js';
import type { MetadataSnapshot } from '../format/metadata-snapshot.js';
import type { NodeLimits } from '../format/node.js';
import { checkPool, type CheckDepth, type CheckResult, type Finding } from '../metadata/check.js';
import {
  deviceIn,
  openView,
  StoredNodes,
  type MetadataView,
  type HeldChoice,
} from '../metadata/metadata-view.js';
import type { KvReader } from '../store/key-value.js';
import type { PoolOptions } from './info.js';
import { jointExclusive } from '../metadata/joint-exclusive.js';
import { DEVICES_PER_STEP } from './limits.js';
import { readOptions } from './options-record.js';
import type { PoolState } from './pool-state.js';
import { salvageRecords } from './salvage.js';
import { fileFinding, scrub, type ScrubOptions, type ScrubStep } from './scrub.js';
import { nextTurn } from './usage-counter.js';

/** What a commit writes of a metadata snapshot has a bound, too: some thousand records. */
const STEPS_PER_COMMIT = 64;

/** Committed metadata that does not change while it is held. The caller that opened it closes it. */
export interface FrozenMetadata {
  /** It is the last commit, and the pool has more: the host's disk is full, or a commit failed. */
  readonly isBehind: boolean;
  /** Undefined: damaged. */
  options(): PoolOptions | undefined;
  /** The pool as it was, or one of its metadata snapshots. @throws ThinError not-found, damaged */
  view(held?: HeldChoice): Promise<MetadataView>;
  /** With the devices whose records can be read. @throws ThinError damaged (the superblock) */
  salvage(): Promise<MetadataView>;
  /** Reads everything; a pool that is open turns read-only where something is damaged. */
  scrub(): AsyncGenerator<ScrubStep>;
  close(): Promise<void>;
}

export interface ReservedSnapshot {
  readonly id: number;
  /** Unix time, milliseconds. */
  readonly createdAt: number;
  readonly transactionId: number;
  readonly devices: number;
}

export interface PoolCheckOptions {
  readonly depth?: CheckDepth | undefined;
  /** Where nothing is wrong, the pool no longer needs a check and takes writes again. Default true. */
  readonly clearNeedsCheck?: boolean | undefined;
}

/**
 * What the metadata tools do to an open pool (thin-provisioning-tools, and the messages of dm-thin's pool
 * target).
 */
export interface PoolTools {
  freeze(): Promise<FrozenMetadata>;
  /**
   * Bytes that come back when all of these devices go: what one of them maps alone, and what only several of
   * them share. Errors: not-found, damaged.
   */
  jointExclusive(names: readonly DeviceName[]): Promise<number>;
  /**
   * Keeps the roots of this moment, and with them the data: what is written from then on goes to new chunks,
   * as after a snapshot of every device (dm-thin.rst, reserve_metadata_snap). Errors: read-only, no-space.
   */
  reserve(): Promise<ReservedSnapshot>;
  /** Its space comes back in the background. Errors: not-found, read-only. */
  release(id: number): Promise<void>;
  /** Ascending by id. */
  reserved(): readonly ReservedSnapshot[];
  /**
   * Compares and swaps (dm-thin.rst, set_transaction_id). Errors: invalid-argument (`from` is not the current
   * one), read-only.
   */
  setTransactionId(from: number, to: number): Promise<void>;
}

export interface FrozenParts {
  /** Default false. */
  readonly isBehind?: boolean;
  readonly close: () => Promise<void>;
  readonly limits?: NodeLimits | undefined;
  /** Of a `direct` pool. */
  readonly data?: ScrubOptions['data'];
  /** See `KeyValue`. */
  readonly damagedFiles?: (() => AsyncIterable<ThinError>) | undefined;
  /** Told of what a scrub finds. */
  readonly onDamage?: (error: ThinError) => void | Promise<void>;
}

/** @param reader of a store that does not change until `close` */
export function frozenMetadata(
  reader: KvReader,
  { isBehind = false, close, limits, data, damagedFiles, onDamage }: FrozenParts,
): FrozenMetadata {
  return {
    isBehind,
    options: () => {
      try {
        return readOptions(reader);
      } catch (error) {
        if (error instanceof ThinError && error.code === 'damaged') return undefined;
        throw error;
      }
    },
    view: (held) => openView(reader, { limits, held }),
    salvage: async () => {
      const { superblock, devices } = await salvageRecords(reader);
      if (superblock === undefined)
        throw new ThinError(
          'damaged',
          'the superblock cannot be read; make a new pool of the rest with: thinfuse repair --output NEW-ROOT',
        );
      return { superblock, devices, nodes: new StoredNodes(reader, limits) };
    },
    scrub: () => scrub(reader, { limits, data, damagedFiles, onDamage }),
    close,
  };
}

export class OpenPoolTools implements PoolTools {
  readonly #state: PoolState;
  readonly #limits: NodeLimits | undefined;
  readonly #data: ScrubOptions['data'];
  /** One at a time. */
  #reserving: Promise<unknown> = Promise.resolve();

  constructor(state: PoolState, { limits, data }: { limits?: NodeLimits; data?: ScrubOptions['data'] }) {
    this.#state = state;
    this.#limits = limits;
    this.#data = data;
  }

  /** See `ThinPool`. */
  async check({ depth = 'all', clearNeedsCheck = true }: PoolCheckOptions): Promise<CheckResult> {
    const isBehind = !(await this.#committed());
    const reader = this.#state.store.snapshot();
    try {
      // First: what LevelDB is given to read may end the process.
      const files = depth === 'all' ? await this.#checkFiles() : [];
      const found = await checkPool(reader, { limits: this.#limits, depth });
      const result = { ...found, findings: [...files, ...found.findings] };
      if (clearNeedsCheck && !isBehind && depth === 'all' && result.findings.length === 0)
        await this.#state.clearNeedsCheck();
      return result;
    } finally {
      await reader.close();
    }
  }

  async #checkFiles(): Promise<readonly Finding[]> {
    const findings: Finding[] = [];
    for await (const error of this.#state.store.damagedFiles?.() ?? []) {
      this.#state.foundDamage(error);
      findings.push(fileFinding(error));
    }
    return findings;
  }

  /**
   * Whether the store has everything: its last commit can be read where the host's disk is full, and where a
   * commit failed for good.
   */
  async #committed(): Promise<boolean> {
    try {
      await this.#state.commit();
      return true;
    } catch (error) {
      if (error instanceof ThinError && error.code === 'no-space') return false;
      if (this.#state.mode === 'ro') return false;
      throw error;
    }
  }

  async freeze(): Promise<FrozenMetadata> {
    const isBehind = !(await this.#committed());
    const reader = this.#state.store.snapshot();
    return frozenMetadata(reader, {
      isBehind,
      close: () => reader.close(),
      limits: this.#limits,
      data: this.#data,
      damagedFiles: this.#state.store.damagedFiles?.bind(this.#state.store),
      onDamage: (error) => this.#state.foundDamage(error),
    });
  }

  async jointExclusive(names: readonly DeviceName[]): Promise<number> {
    const frozen = await this.freeze();
    try {
      const view = await frozen.view();
      const roots = [...new Set(names)].map((name) => deviceIn(view, name).root);
      return (await jointExclusive(this.#state.metadata, view.nodes, roots)) * view.superblock.blockSize;
    } finally {
      await frozen.close();
    }
  }

  reserve(): Promise<ReservedSnapshot> {
    const reserved = this.#reserving.then(() => this.#reserve());
    this.#reserving = reserved.catch(() => undefined);
    return reserved;
  }

  async #reserve(): Promise<ReservedSnapshot> {
    this.#state.requireWritable();
    const { metadata } = this.#state;
    await this.#state.sharing(() => {
      metadata.holds.begin(Date.now(), metadata.superblock);
    });
    try {
      for (let steps = 1; metadata.holds.step(DEVICES_PER_STEP); steps++)
        await (steps % STEPS_PER_COMMIT === 0 ? this.#state.commit() : nextTurn());
      const held = metadata.holds.finish();
      await this.#state.commit();
      return describe(held);
    } catch (error) {
      metadata.holds.drop();
      this.#state.reclaim();
      throw error;
    }
  }

  async release(id: number): Promise<void> {
    this.#state.requireWritable();
    if (this.#state.metadata.heldRoots.get(id) === undefined)
      throw new ThinError('not-found', `there is no metadata snapshot ${id}; thinfuse reserved lists them`, {
        details: { snapshot: id },
      });
    this.#state.metadata.holds.release(id);
    await this.#state.commit();
    this.#state.reclaim();
  }

  reserved(): readonly ReservedSnapshot[] {
    return this.#state.metadata.heldRoots.all().map(describe);
  }

  async setTransactionId(from: number, to: number): Promise<void> {
    this.#state.requireWritable();
    const current = this.#state.metadata.superblock.transactionId;
    if (current !== from)
      throw new ThinError(
        'invalid-argument',
        `the pool's transaction id is ${current}, not ${from}; nothing was changed`,
        { details: { transactionId: current } },
      );
    this.#state.metadata.changeSuperblock({ transactionId: transactionId(to) });
    this.#state.deviceLog.skip();
    await this.#state.deviceLog.durable();
  }
}

function describe({ id, createdAt, superblock, devices }: MetadataSnapshot): ReservedSnapshot {
  return { id, createdAt, transactionId: superblock.transactionId, devices };
}
