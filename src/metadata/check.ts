import { Pace } from '../async/pace.js';
import { walk } from '../btree/walk.js';
import { ThinError } from '../errors/thin-error.js';
import { unpackChunkBacking } from '../format/chunk-backing.js';
import { unpackDeviceRecord, type DeviceRecord } from '../format/device-record.js';
import { chunkId, deviceId, nodeId, type NodeId } from '../format/ids.js';
import { chunkBackingKey, describeKey, metadataSnapshotKey, rangeOf, unpackKey } from '../format/keys.js';
import { unpackHeldPiece } from '../format/metadata-snapshot.js';
import { FULL_NODE, type NodeLimits } from '../format/node.js';
import { unpackPendingDelete } from '../format/pending-delete.js';
import { unseal } from '../format/seal.js';
import { unpackSpaceMapSheet, ENTRIES_PER_SHEET } from '../format/space-map-sheet.js';
import type { Superblock } from '../format/superblock.js';
import type { KvReader } from '../store/key-value.js';
import { disagreements, foreignOptions, optionsOwner } from './agreement.js';
import { StoredNodes } from './metadata-view.js';
import { readSuperblock, type sealedValues } from './open-metadata.js';
import { SparseCounts } from './sparse-counts.js';
import { RemoteTable } from './remote-table.js';
import { PieceOwners, readHeldValue } from './stored-held.js';
import { readRemote } from './stored-remote.js';

export interface Finding {
  /** Where: a key path such as `device 3 / node 17` or `chunk 9`. */
  readonly path: string;
  readonly problem: string;
  /**
   * Something is lost or may get lost; what is not fatal costs space or shows a wrong number (thin_check:
   * NON_FATAL).
   */
  readonly fatal: boolean;
  /** The rest of the metadata says what belongs there, so that `repairOperations` can mend it. */
  readonly repairable: boolean;
}

export interface CheckResult {
  readonly findings: readonly Finding[];
  readonly devices: number;
  readonly nodes: number;
  readonly chunks: number;
}

/**
 * Reads every record and node of a pool and counts all references anew (thin_check): what the space maps say
 * must be what the trees hold, each chunk that is mapped must be there, and no other. Nothing in memory is
 * trusted, and nothing is changed. Chunk contents are not read.
 */
export async function checkPool(store: KvReader, options: CheckOptions = {}): Promise<CheckResult> {
  return (await runCheck(store, options)).result();
}

export interface CheckOptions {
  readonly limits?: NodeLimits | undefined;
  /** How far to look: thin_check's --super-block-only and --skip-mappings. Default: all of it. */
  readonly depth?: CheckDepth | undefined;
}

export const CHECK_DEPTHS = ['superblock', 'records', 'all'] as const;
export type CheckDepth = (typeof CHECK_DEPTHS)[number];

export async function runCheck(store: KvReader, options: CheckOptions = {}): Promise<Check> {
  const check = new Check(store, options.limits ?? FULL_NODE);
  await check.run(options.depth ?? 'all');
  return check;
}

type Weight = Pick<Finding, 'fatal' | 'repairable'>;
const DAMAGED: Weight = { fatal: true, repairable: false };
/** Data may get lost, but the right count is known. */
const UNDERCOUNTED: Weight = { fatal: true, repairable: true };
const MISCOUNTED: Weight = { fatal: false, repairable: true };

/** What a check found, and counted. */
export class Check {
  readonly #store: KvReader;
  readonly #stored: StoredNodes;
  readonly #findings: Finding[] = [];
  /** References found, by number; a node's children are counted once, when it is first met. */
  readonly #nodes = new SparseCounts();
  readonly #chunks = new SparseCounts();
  readonly #mappedBelow = new Map<NodeId, number>();
  readonly #records: DeviceRecord[] = [];
  readonly #miscounted: DeviceRecord[] = [];
  readonly #strayKeys: Uint8Array[] = [];
  /** Partial chunks in use, by number. */
  readonly #backings = new Map<number, number>();
  /** Without what is remote and not in use. */
  #remote = new RemoteTable();
  #superblock: Superblock | undefined;
  #devices = 0;

  constructor(store: KvReader, limits: NodeLimits) {
    this.#store = store;
    this.#stored = new StoredNodes(store, limits);
  }

  result(): CheckResult {
    return {
      findings: this.#findings,
      devices: this.#devices,
      nodes: this.#nodes.size,
      chunks: this.#chunks.size,
    };
  }

  get superblock(): Superblock | undefined {
    return this.#superblock;
  }

  /** References that the trees hold, by number. */
  get references(): { readonly nodes: SparseCounts; readonly chunks: SparseCounts } {
    return { nodes: this.#nodes, chunks: this.#chunks };
  }

  /** Devices with the number of blocks that they do map, where their record had another. */
  get miscounted(): readonly DeviceRecord[] {
    return this.#miscounted;
  }

  /** Which chunks in use are remote; what was there beyond them is changed in it. */
  get remote(): RemoteTable {
    return this.#remote;
  }

  /** Nodes and chunks that nothing refers to. */
  get strayKeys(): readonly Uint8Array[] {
    return this.#strayKeys;
  }

  async run(depth: CheckDepth): Promise<void> {
    const superblock = this.#guard('superblock', () => readSuperblock(this.#store));
    this.#superblock = superblock;
    if (superblock === undefined || depth === 'superblock') return;
    if (depth === 'records') {
      await this.#checkRecords();
      return;
    }
    await this.#checkDevices(superblock.blockSize);
    await this.#checkPendingDeletes();
    await this.#heldRecords((record, path) => this.#checkDevice(record, superblock.blockSize, path));
    await this.#checkBackings();
    const remote = await this.#checkRemote();
    this.#checkAgreement(superblock, remote);
    await this.#compareMap('chunk-map-sheet', 'chunk', this.#chunks, superblock.chunks);
    await this.#compareMap('node-map-sheet', 'node', this.#nodes, superblock.nodes);
    await this.#checkKeys('node', this.#nodes, () => true);
    if (superblock.kind !== 'leveldb') return;
    await this.#checkKeys(
      'chunk',
      this.#chunks,
      (chunk) => !this.#backings.has(chunk) && this.#remote.peek(chunkId(chunk)) === undefined,
    );
    await this.#checkPatches();
  }

  /** @param remote chunks; undefined: not all can be told */
  #checkAgreement(superblock: Superblock, remote: number | undefined): void {
    const owner = this.#guard('options', () => optionsOwner(this.#store));
    const foreign = foreignOptions(superblock, owner);
    if (foreign !== undefined) this.#find('superblock', foreign);
    const found = { devices: this.#devices, chunks: this.#chunks.size, nodes: this.#nodes.size, remote };
    for (const { problem, isCount } of disagreements(superblock, this.#records, found))
      this.#find('superblock', problem, isCount ? MISCOUNTED : DAMAGED);
  }

  async #checkDevices(blockSize: number): Promise<void> {
    await this.#eachSealed('device', async (id, body, path) => {
      this.#devices++;
      const record = this.#guard(path, () => unpackDeviceRecord(deviceId(id), body, path));
      if (record === undefined) return;
      this.#records.push(record);
      const mapped = await this.#checkDevice(record, blockSize, path);
      if (mapped !== undefined && mapped !== record.mapped)
        this.#miscounted.push({ ...record, mapped, exclusive: Math.min(record.exclusive, mapped) });
    });
  }

  async #checkDevice(record: DeviceRecord, blockSize: number, path: string): Promise<number | undefined> {
    const end = Math.ceil(record.size / blockSize);
    const mapped = await this.#tree(record.root, path, end);
    if (mapped !== undefined && mapped !== record.mapped)
      this.#find(path, `${record.mapped} blocks are said to be mapped, ${mapped} are`, MISCOUNTED);
    return mapped;
  }

  async #heldRecords(visit: (record: DeviceRecord, path: string) => Promise<unknown>): Promise<void> {
    const owners = new PieceOwners();
    const pace = new Pace();
    const each = async (record: DeviceRecord, path: string): Promise<void> => {
      await pace.pause();
      await visit(record, `${path} / device ${record.id}`);
    };
    await this.#eachSealed('metadata-snapshot', async (id, _body, path, value) => {
      const held = this.#guard(path, () => readHeldValue(id, value, path));
      if (held === undefined) return;
      owners.add(held.snapshot);
      for (;;) {
        const step = this.#guard(path, () => held.records.next());
        if (step === undefined || step.done === true) return;
        await each(step.value, path);
      }
    });
    await this.#eachSealed('held-piece', async (number, body, path) => {
      const piece = this.#guard(path, () => unpackHeldPiece(body, path));
      const owner = owners.see(number, piece?.records.length ?? 0);
      if (piece === undefined) return;
      if (owner !== piece.snapshot)
        this.#find(path, `metadata snapshot ${piece.snapshot}, which it names, does not have it`);
      for (const record of piece.records) await each(record, path);
    });
    for (const { id, problem } of owners.problems())
      this.#find(describeKey(metadataSnapshotKey(id)), problem);
  }

  /** What can be said without the trees. */
  async #checkRecords(): Promise<void> {
    const read = (path: string, unpack: () => unknown): Promise<void> => {
      this.#guard(path, unpack);
      return Promise.resolve();
    };
    await this.#eachSealed('device', (id, body, path) => {
      this.#devices++;
      return read(path, () => unpackDeviceRecord(deviceId(id), body, path));
    });
    await this.#eachSealed('pending-delete', (id, body, path) =>
      read(path, () => unpackPendingDelete(deviceId(id), body, path)),
    );
    await this.#heldRecords(() => Promise.resolve());
  }

  async #checkPendingDeletes(): Promise<void> {
    await this.#eachSealed('pending-delete', async (id, body, path) => {
      const pending = this.#guard(path, () => unpackPendingDelete(deviceId(id), body, path));
      for (const node of pending?.stack ?? []) await this.#tree(node, path, Infinity);
    });
  }

  /**
   * Counts the references that a tree holds, and reads each node the first time that something leads to it.
   * @param end one past the largest block that it may map
   * @returns the mappings in it; undefined: its root cannot be read
   */
  async #tree(root: NodeId, from: string, end: number): Promise<number | undefined> {
    /** Mappings below each node that the walk is in, and below the root. */
    const below = [0];
    const add = (mapped: number): void => {
      below[below.length - 1]! += mapped;
    };
    const nodes = walk(
      this.#stored,
      root,
      {
        enter: (id) => {
          const seen = this.#nodes.add(id);
          if (seen > 0) add(this.#mappedBelow.get(id) ?? 0);
          return seen === 0;
        },
        leave: ({ id }) => {
          const mapped = below.pop()!;
          this.#mappedBelow.set(id, mapped);
          add(mapped);
        },
        damaged: (id, error) => {
          this.#findError(`${from} / node ${id}`, `node ${id}`, error, DAMAGED);
        },
        stray: ({ id, keys, count }, low, high) => {
          this.#find(
            `${from} / node ${id}`,
            `holds keys ${keys[0] ?? low} to ${keys[count - 1] ?? low}, outside ${low} to ${high}`,
          );
          return true;
        },
      },
      end,
    );
    for await (const node of nodes) {
      below.push(node.isLeaf ? node.count : 0);
      if (!node.isLeaf) continue;
      for (let i = 0; i < node.count; i++) this.#chunks.add(node.a[i]!);
    }
    return this.#mappedBelow.has(root) ? below[0] : undefined;
  }

  async #compareMap(
    kind: 'chunk-map-sheet' | 'node-map-sheet',
    what: 'chunk' | 'node',
    found: SparseCounts,
    limit: number,
  ): Promise<void> {
    const seen = new SparseCounts();
    const visit = (sheet: number, body: Uint8Array, path: string): Promise<void> => {
      const read = (): void => {
        unpackSpaceMapSheet(body, path, (index, count) => {
          const entry = sheet * ENTRIES_PER_SHEET + index;
          seen.add(entry);
          const references = found.get(entry);
          if (references !== count)
            this.#find(
              `${what} ${entry}`,
              `the space map counts ${count} references, the trees hold ${references}`,
              // Too few, and what is shared is overwritten.
              count < references ? UNDERCOUNTED : MISCOUNTED,
            );
          if (entry >= limit) this.#find(`${what} ${entry}`, 'lies beyond the end of the pool');
        });
      };
      this.#guard(path, read, UNDERCOUNTED);
      return Promise.resolve();
    };
    await this.#eachSealed(kind, visit, UNDERCOUNTED);
    for await (const entry of this.#each(found))
      if (!seen.has(entry))
        this.#find(`${what} ${entry}`, 'is in use, but the space map calls it free', UNDERCOUNTED);
  }

  /** A partial chunk refers to its backing, as long as something refers to it. */
  async #checkBackings(): Promise<void> {
    const found: number[] = [];
    await this.#eachSealed('chunk-backing', (id, body, path) => {
      const backing = this.#guard(path, () => unpackChunkBacking(body, path).backing);
      if (!this.#chunks.has(id)) {
        this.#strayKeys.push(chunkBackingKey(chunkId(id)));
        this.#find(path, 'is stored, but nothing refers to its chunk', MISCOUNTED);
      } else if (backing !== undefined) {
        this.#backings.set(id, backing);
        found.push(backing);
      }
      return Promise.resolve();
    });
    // Only now: what a mapping refers to is not told from what a partial chunk does.
    for (const backing of found) this.#chunks.add(backing);
    for (const [chunk, backing] of this.#backings)
      if (this.#backings.has(backing))
        this.#find(`chunk backing ${chunk}`, `its backing ${backing} is partial itself`);
  }

  /**
   * A remote chunk is in use, is not partial and no other chunk's backing, and its image is known.
   * @returns how many there are; undefined: not all can be told
   */
  async #checkRemote(): Promise<number | undefined> {
    const before = this.#findings.length;
    const remote = await readRemote(this.#store, (error, key) => {
      this.#findError(describeKey(key), describeKey(key), error, DAMAGED);
    });
    this.#remote = remote;
    const count = remote.count;
    const isDamaged = this.#findings.length > before;
    const backings = new Set(this.#backings.values());
    const pace = new Pace();
    for (const { chunk, entry } of remote.all()) {
      await pace.pause();
      const path = `chunk ${chunk}`;
      if (!this.#chunks.has(chunk)) {
        remote.take(chunk);
        this.#find(path, 'is remote, but nothing refers to it', MISCOUNTED);
      } else if (remote.image(entry.image) === undefined)
        this.#find(path, `is remote, and its image ${entry.image} is not known`);
      if (this.#backings.has(chunk) || backings.has(chunk))
        this.#find(path, 'is remote, and partial or a backing');
    }
    for (const { id, left } of remote.images()) if (left === 0) remote.releaseImage(id);
    return isDamaged ? undefined : count;
  }

  /** A partial chunk has nothing but its patch. */
  async #checkPatches(): Promise<void> {
    const missing = new Set(this.#backings.keys());
    for await (const [key] of this.#store.entries(rangeOf('chunk-patch'), { values: false })) {
      const id = unpackKey('chunk-patch', key);
      if (id !== undefined) missing.delete(id);
      if (id !== undefined && this.#chunks.has(id)) continue;
      this.#strayKeys.push(key);
      this.#find(describeKey(key), 'is stored, but nothing refers to its chunk', MISCOUNTED);
    }
    for (const id of missing) this.#find(`chunk patch ${id}`, 'is all that its chunk has, but missing');
  }

  /** Every entry in use that is stored at all is there, and nothing else is. */
  async #checkKeys(
    kind: 'node' | 'chunk',
    found: SparseCounts,
    isStored: (entry: number) => boolean,
  ): Promise<void> {
    const seen = new SparseCounts();
    for await (const [key] of this.#store.entries(rangeOf(kind), { values: false })) {
      const id = unpackKey(kind, key);
      if (id !== undefined && found.has(id) && isStored(id)) {
        seen.add(id);
        continue;
      }
      this.#strayKeys.push(key);
      this.#find(describeKey(key), 'is stored, but nothing refers to it', MISCOUNTED);
    }
    for await (const id of this.#each(found)) {
      if (seen.has(id) || !isStored(id)) continue;
      // A missing node was found when its parent was read.
      if (kind === 'chunk') this.#find(`chunk ${id}`, 'is mapped, but missing');
      else if (this.#mappedBelow.has(nodeId(id))) this.#find(`node ${id}`, 'is missing');
    }
  }

  /** In turns. */
  async *#each(counts: SparseCounts): AsyncGenerator<number> {
    const pace = new Pace();
    for (const number of counts.keys()) {
      const pause = pace.pause();
      if (pause !== undefined) await pause;
      yield number;
    }
  }

  async #eachSealed(
    kind: Parameters<typeof sealedValues>[1],
    visit: (id: number, body: Uint8Array, path: string, value: Uint8Array) => Promise<void>,
    ifDamaged: Weight = DAMAGED,
  ): Promise<void> {
    const pace = new Pace();
    for await (const [key, value] of this.#store.entries(rangeOf(kind))) {
      // A store hands out many at a time.
      const pause = pace.pause();
      if (pause !== undefined) await pause;
      const path = describeKey(key);
      const id = unpackKey(kind, key);
      if (id === undefined) {
        this.#find(path, 'a pool has no such key');
        continue;
      }
      const body = this.#guard(path, () => unseal(kind, id, value, path), ifDamaged);
      if (body !== undefined) await visit(id, body, path, value);
    }
  }

  #guard<T>(path: string, read: () => T, ifDamaged: Weight = DAMAGED): T | undefined {
    try {
      return read();
    } catch (error) {
      // Nothing is wrong with what a newer thinfuse wrote.
      if (!(error instanceof ThinError) || error.code === 'wrong-version') throw error;
      this.#findError(path, path, error, ifDamaged);
      return undefined;
    }
  }

  /** @param named the path that the error's message may begin with */
  #findError(path: string, named: string, { message }: ThinError, weight: Weight): void {
    this.#find(path, message.startsWith(`${named}: `) ? message.slice(named.length + 2) : message, weight);
  }

  #find(path: string, problem: string, weight: Weight = DAMAGED): void {
    this.#findings.push({ path, problem, ...weight });
  }
}
