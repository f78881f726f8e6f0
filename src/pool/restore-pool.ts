import { randomUUID } from 'node:crypto';
import { DEFAULT_METADATA_SIZE, DEFAULT_POOL_OPTIONS } from '../config/defaults.js';
import { ThinError } from '../errors/thin-error.js';
import { unpackChunkBacking } from '../format/chunk-backing.js';
import type { DeviceRecord } from '../format/device-record.js';
import type { DataLabel } from '../format/data-label.js';
import { parseDeviceName } from '../format/device-name.js';
import {
  deviceId,
  MAX_CHUNKS,
  MAX_DEVICE_ID,
  MAX_VIRTUAL_BLOCKS,
  snapTime,
  transactionId,
  type DeviceId,
  type DeviceName,
} from '../format/ids.js';
import { rangeOf, unpackKey } from '../format/keys.js';
import type { NodeLimits } from '../format/node.js';
import type { Superblock } from '../format/superblock.js';
import type { MappingRun } from '../metadata/mapping-runs.js';
import { sealedValues } from '../metadata/open-metadata.js';
import { readRemote } from '../metadata/stored-remote.js';
import { TreeBuilder } from '../metadata/tree-builder.js';
import type { KeyValue, KvReader } from '../store/key-value.js';
import type { DeviceFacts, PoolFacts } from '../thin-tools/facts.js';
import {
  parseDump,
  type DumpedDevice,
  type DumpedSuperblock,
  type DumpHandler,
} from '../thin-tools/parse-dump.js';
import { METADATA_BLOCK_SIZE } from './create-pool.js';
import type { PoolOptions } from './info.js';
import { parseOptions } from './options-record.js';
import { rebuiltOperations, type RebuiltPool } from './rebuilt-pool.js';
import { salvageRecords, type Salvaged } from './salvage.js';

export interface RestoreOptions {
  /** Also where the store has metadata that can be read; without it, that is `exists`. */
  readonly replace?: boolean;
  /**
   * Of the pool's data, in a `direct` pool: any chunk of it may be mapped, since what is there does not say
   * what it is.
   */
  readonly data?: DataLabel | undefined;
  /** In place of what the dump says (thin_restore). */
  readonly overrides?: Partial<Pick<DumpedSuperblock, 'transaction' | 'dataBlockSize' | 'dataBlocks'>>;
  readonly limits?: NodeLimits;
}

export interface RestoreReport {
  readonly devices: number;
  readonly mappedChunks: number;
  /** Stored, but mapped by no device of the dump: kept, until `check --auto-repair` removes them. */
  readonly strayChunks: number;
}

/**
 * Rebuilds the metadata of a pool from a dump, in one batch, around the chunks that the store holds. What the
 * dump does not say (names and sizes, where thin_dump wrote it) is taken from records that the store still
 * has, or made up.
 * @throws ThinError exists, invalid-argument (the dump), damaged (a chunk that it maps is missing), no-space,
 *   unsupported; with nothing changed
 */
export async function restorePool(
  store: KeyValue,
  text: AsyncIterable<string> | Iterable<string>,
  options: RestoreOptions = {},
): Promise<RestoreReport> {
  const before = await salvageRecords(store);
  if (before.superblock !== undefined && options.replace !== true)
    throw new ThinError(
      'exists',
      'the pool has metadata already; run thinfuse check on it, and give --replace to put the dump in its place',
    );
  const backings = await storedBackings(store);
  const remote = await readRemote(store, (error) => {
    throw error;
  });
  const elsewhere = new Set([...remote.all()].map(({ chunk }) => Number(chunk)));
  const stored =
    options.data === undefined
      ? new Set([...(await storedChunks(store)), ...backings.keys(), ...elsewhere])
      : undefined;
  const restorer = new Restorer(before, stored, options);
  await parseDump(text, restorer);
  const pool = restorer.finish();
  const { chunkCounts } = pool.builder;
  const mappedChunks = chunkCounts.size;
  for (const [chunk, backing] of backings)
    if (chunkCounts.has(chunk)) chunkCounts.set(backing, (chunkCounts.get(backing) ?? 0) + 1);
  for (const { chunk } of [...remote.all()]) if (!chunkCounts.has(chunk)) remote.take(chunk);
  await store.batch(await rebuiltOperations(store, { ...pool, remote }), { sync: true });
  const strayChunks =
    stored === undefined
      ? 0
      : [...stored].filter((chunk) => !chunkCounts.has(chunk) && !elsewhere.has(chunk)).length;
  return { devices: pool.devices.length, mappedChunks, strayChunks };
}

/** Partial chunks, by number, and the backings that they refer to. */
async function storedBackings(store: KvReader): Promise<ReadonlyMap<number, number>> {
  const backings = new Map<number, number>();
  for await (const { id, body, path } of sealedValues(store, 'chunk-backing'))
    backings.set(id, unpackChunkBacking(body, path).backing);
  return backings;
}

async function storedChunks(store: KvReader): Promise<ReadonlySet<number>> {
  const stored = new Set<number>();
  for await (const [key] of store.entries(rangeOf('chunk'), { values: false })) {
    const id = unpackKey('chunk', key);
    if (id !== undefined) stored.add(id);
  }
  return stored;
}

class Restorer implements DumpHandler {
  readonly #before: Salvaged;
  /** Undefined: all that the data has room for. */
  readonly #stored: ReadonlySet<number> | undefined;
  readonly #options: RestoreOptions;
  readonly #devices: DeviceRecord[] = [];
  readonly #names = new Set<string>();
  #dumped: DumpedSuperblock | undefined;
  #facts: PoolFacts | undefined;
  #builder: TreeBuilder | undefined;
  #device: { dumped: DumpedDevice; facts: DeviceFacts | undefined; end: number } | undefined;

  constructor(before: Salvaged, stored: ReadonlySet<number> | undefined, options: RestoreOptions) {
    this.#before = before;
    this.#stored = stored;
    this.#options = options;
  }

  superblock(dumped: DumpedSuperblock): void {
    const superblock = { ...dumped, ...this.#options.overrides };
    const { dataBlockSize, dataBlocks } = superblock;
    if (dataBlockSize === 0 || dataBlockSize % 128 !== 0)
      throw wrong(`its blocks of ${dataBlockSize} sectors are no multiple of 64K`);
    if (dataBlocks < 1 || dataBlocks > MAX_CHUNKS)
      throw wrong(`a pool cannot have ${dataBlocks} data blocks`);
    const { data } = this.#options;
    if (data !== undefined && (data.blockSize !== dataBlockSize * 512 || data.chunks < dataBlocks))
      throw wrong(
        `it has ${dataBlocks} blocks of ${dataBlockSize * 512} bytes, and the pool's data ${data.chunks} of ${data.blockSize}`,
      );
    this.#dumped = superblock;
  }

  poolFacts(facts: PoolFacts): void {
    if (facts.kind !== this.#kind)
      throw new ThinError(
        'unsupported',
        `the dump is of a ${facts.kind} pool and does not fit this ${this.#kind} pool`,
      );
    this.#facts = facts;
  }

  device(dumped: DumpedDevice): void {
    if (dumped.id < 1 || dumped.id > MAX_DEVICE_ID)
      throw wrong(`device number ${dumped.id} is not from 1 to ${MAX_DEVICE_ID}`);
    if (dumped.snapTime > this.#dumped!.time)
      throw wrong(`device ${dumped.id} has a snap_time after the time of the superblock`);
    if (this.#devices.some(({ id }) => id === dumped.id)) throw wrong(`device ${dumped.id} comes twice`);
    this.#builder ??= new TreeBuilder(this.#nodes, this.#options.limits);
    this.#device = { dumped, facts: undefined, end: 0 };
  }

  deviceFacts(facts: DeviceFacts): void {
    this.#device!.facts = facts;
  }

  run({ begin, chunk, length, time }: MappingRun): void {
    const device = this.#device!;
    if (begin + length > MAX_VIRTUAL_BLOCKS)
      throw wrong(`device ${device.dumped.id} maps block ${begin + length - 1}`);
    for (let i = 0; i < length; i++) {
      if (chunk + i >= this.#dumped!.dataBlocks)
        throw wrong(`device ${device.dumped.id} maps chunk ${chunk + i}, beyond the end of the pool`);
      if (this.#stored?.has(chunk + i) === false)
        throw new ThinError(
          'damaged',
          `block ${begin + i} of device ${device.dumped.id} maps chunk ${chunk + i}, which the pool does not hold; is the dump of another pool, or older than what was removed since? Nothing was changed`,
          { details: { device: device.dumped.id, chunk: chunk + i } },
        );
      this.#builder!.add(begin + i, chunk + i, time);
    }
    device.end = begin + length;
  }

  endDevice(): void {
    const { dumped, end } = this.#device!;
    const mapped = this.#builder!.added;
    const root = this.#builder!.finish();
    const facts = this.#factsOf(end);
    if (this.#names.has(facts.name)) throw wrong(`two devices are called ${facts.name}`);
    if (Math.ceil(facts.size / this.#blockSize) < end)
      throw wrong(`device ${facts.name} maps block ${end - 1}, beyond its end`);
    this.#names.add(facts.name);
    this.#devices.push({
      maker: '',
      automount: undefined,
      ...facts,
      id: deviceId(dumped.id),
      origin: deviceId(facts.origin),
      family: deviceId(facts.family),
      root,
      mapped,
      transactionId: transactionId(dumped.transaction),
      creationTime: snapTime(dumped.creationTime),
      snapTime: snapTime(dumped.snapTime),
      exclusive: 0,
    });
  }

  finish(): Omit<RebuiltPool, 'remote'> {
    const dumped = this.#dumped!;
    const facts = this.#facts;
    const before = this.#before.superblock;
    const last = facts?.lastTransaction ?? before?.lastTransaction;
    const superblock: Superblock = {
      uuid: this.#options.data?.uuid ?? facts?.uuid ?? before?.uuid ?? randomUUID(),
      kind: this.#kind,
      blockSize: this.#blockSize,
      chunks: dumped.dataBlocks,
      nodes: this.#nodes,
      time: snapTime(dumped.time),
      transactionId: transactionId(dumped.transaction),
      lastDeviceId: this.#lastDevice(),
      needsCheck: (dumped.flags & 1) !== 0,
      baseUuid: facts?.baseUuid ?? before?.baseUuid ?? '',
      lastTransaction:
        last === undefined
          ? undefined
          : { id: transactionId(last.id), device: deviceId(last.device), name: last.name },
    };
    // The chunks stay as they lie in the store.
    const mayBePacked = this.#kind === 'leveldb' && (before === undefined || before.hasPacked === true);
    const builder = this.#builder ?? new TreeBuilder(this.#nodes, this.#options.limits);
    return {
      superblock: { ...superblock, ...(mayBePacked && { hasPacked: true }) },
      options: this.#poolOptions(),
      devices: this.#devices,
      builder,
    };
  }

  get #kind(): Superblock['kind'] {
    return this.#options.data === undefined ? 'leveldb' : 'direct';
  }

  get #blockSize(): number {
    return this.#dumped!.dataBlockSize * 512;
  }

  get #nodes(): number {
    const fallback = Math.floor(DEFAULT_METADATA_SIZE / METADATA_BLOCK_SIZE);
    return this.#facts?.nodes ?? this.#before.superblock?.nodes ?? fallback;
  }

  #lastDevice(): DeviceId {
    const known = this.#facts?.lastDeviceId ?? this.#before.superblock?.lastDeviceId ?? 0;
    return deviceId(this.#devices.reduce<number>((last, { id }) => Math.max(last, id), known));
  }

  #poolOptions(): PoolOptions {
    const given = this.#facts?.options;
    const parsed = given === undefined || given === null ? undefined : parseOptions(given);
    return parsed ?? this.#before.options ?? DEFAULT_POOL_OPTIONS;
  }

  /** From the dump, or from a record of the same number, or made up. */
  #factsOf(end: number): Omit<DeviceFacts, 'name'> & { readonly name: DeviceName } {
    const { dumped, facts } = this.#device!;
    const known = facts ?? this.#before.devices.find(({ id }) => id === dumped.id);
    if (known !== undefined)
      return { ...known, name: parseDeviceName(known.name, { allowBase: true, allowHidden: true }) };
    const size = Math.max(end, 1) * this.#blockSize;
    return {
      name: parseDeviceName(`thin-${dumped.id}`),
      kind: 'snapshot',
      origin: 0,
      originName: '',
      size,
      createdAt: Date.now(),
      filesystem: this.#poolOptions().filesystem,
      filesystemSize: size,
      initialized: false,
      deleted: false,
      // Nothing says which devices are relatives: all of them may be.
      family: this.#devices[0]?.id ?? dumped.id,
      label: '',
      quota: 0,
      limit: 0,
      content: 'rootfs',
      automount: undefined,
      labels: {},
    };
  }
}

function wrong(problem: string): ThinError {
  return new ThinError('invalid-argument', `the dump does not fit a pool: ${problem}`);
}
