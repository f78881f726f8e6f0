import { ThinError } from '../../src/errors/thin-error.js';
import { BASE_NAME, isHidden } from '../../src/format/device-name.js';
import { deviceId, snapTime, transactionId, type DeviceName } from '../../src/format/ids.js';
import type { PoolFigures } from '../../src/pool/figures.js';
import { Traffic } from '../../src/threads/traffic.js';
import type { DeviceInfo, PoolInfo, PoolOptions } from '../../src/pool/info.js';
import type { FoundLayers, LayersRequest } from '../../src/pool/remote-source.js';
import type {
  DeviceChange,
  DeviceChoice,
  PoolCheck,
  PoolCounts,
  RemoteImageInfo,
  SnapshotRequest,
  ThinPool,
  ThinRequest,
} from '../../src/pool/thin-pool.js';
import { NameWatch } from '../../src/metadata/device-table.js';
import type { PoolTools, ReservedSnapshot } from '../../src/pool/pool-tools.js';
import { MemoryImage } from '../../src/testing/memory-image.js';

const GIB = 2 ** 30;

const OPTIONS: PoolOptions = {
  filesystem: 'xfs',
  mkfsArgs: [],
  mountOptions: '',
  baseSize: 10 * GIB,
  minFreeSpace: 10,
  deferredRemoval: false,
  deferredDeletion: false,
  xfsNospaceMaxRetries: 0,
  errorIfNoSpace: true,
  noSpaceTimeout: 60,
  originTimeout: 60,
  autoextendThreshold: 100,
  lowWater: 0,
  metadataLowWater: 0,
  compression: 'off',
  cacheSize: 0,
  autoextendPercent: 20,
};

/** A pool that remembers devices and nothing else: for tests of what stands on a pool. */
export class FakePool implements ThinPool {
  readonly #devices = new Map<DeviceName, DeviceInfo>();
  readonly #images = new Map<DeviceName, MemoryImage>();
  readonly #reserved: ReservedSnapshot[] = [];
  readonly log: string[] = [];
  closed = false;
  lacks: string | undefined;
  #transaction = 1;
  #lastId = 1;

  readonly #options: PoolOptions;

  constructor(options: { baseInitialized?: boolean; options?: Partial<PoolOptions> } = {}) {
    this.#options = { ...OPTIONS, ...options.options };
    this.#devices.set(
      BASE_NAME,
      this.#device({
        name: BASE_NAME,
        kind: 'base',
        initialized: options.baseInitialized ?? true,
        size: OPTIONS.baseSize,
      }),
    );
  }

  info(): PoolInfo {
    return {
      kind: 'leveldb',
      uuid: '00000000-0000-4000-8000-000000000000',
      mode: 'rw',
      needsCheck: false,
      blockSize: 65536,
      transactionId: transactionId(this.#transaction),
      time: snapTime(0),
      dataUsed: 0,
      dataTotal: 100 * GIB,
      metadataUsed: 0,
      metadataTotal: 2 * GIB,
      metadataBlockSize: 4096,
      lastDeviceId: deviceId(this.#lastId),
      baseDeviceUuid: '',
      baseFilesystem: 'xfs',
      baseSize: OPTIONS.baseSize,
      pendingDeletes: 0,
      options: this.#options,
      lacks: this.lacks,
    };
  }

  findRemote(): Promise<never> {
    return Promise.reject(new ThinError('unsupported', 'nothing fetches here'));
  }

  forgetRemote(): Promise<void> {
    return Promise.resolve();
  }

  layers: (request: LayersRequest) => Promise<FoundLayers | undefined> = () => Promise.resolve(undefined);

  findLayers(request: LayersRequest): Promise<FoundLayers | undefined> {
    return this.layers(request);
  }

  attachRemote(): Promise<{ readonly chunks: number }> {
    return Promise.resolve({ chunks: 0 });
  }

  hydrate(): Promise<void> {
    return Promise.resolve();
  }

  firstReads(): readonly number[] {
    return [];
  }

  setPatience(): void {
    return undefined;
  }

  remoteImages(): readonly RemoteImageInfo[] {
    return [];
  }

  counts(): PoolCounts {
    const devices = this.devices();
    return {
      devices: devices.length,
      active: devices.filter(({ active }) => active).length,
      deleted: devices.filter(({ deleted }) => deleted).length,
    };
  }

  figures(): PoolFigures {
    return {
      traffic: new Traffic().totals(),
      isCached: true,
      pendingBytes: 0,
      logBytes: undefined,
      host: { free: GIB, total: 10 * GIB, floor: GIB / 2 },
      dataFree: undefined,
      remote: { remote: 0, inFlight: 0, fetched: 0, failures: 0, waitedMs: 0, problem: undefined },
    };
  }

  stored(): Promise<undefined> {
    return Promise.resolve(undefined);
  }

  async *eachDevice(choice: DeviceChoice = {}): AsyncGenerator<DeviceInfo> {
    yield* await Promise.resolve(this.devices(choice));
  }

  /** Every device may have changed. */
  watch(): NameWatch {
    const watch = new NameWatch(() => undefined);
    let before: readonly DeviceName[] = [...this.#devices.keys()];
    watch.take = () => {
      const names = new Set([...before, ...this.#devices.keys()]);
      before = [...this.#devices.keys()];
      return names;
    };
    return watch;
  }

  devices({ hidden = false } = {}): readonly DeviceInfo[] {
    return [...this.#devices.values()]
      .filter(({ name }) => isHidden(name) === hidden)
      .map((device) => this.#live(device));
  }

  has(id: DeviceInfo['id']): boolean {
    return [...this.#devices.values()].some((device) => device.id === id);
  }

  device(name: DeviceName): DeviceInfo | undefined {
    const device = this.#devices.get(name);
    return device === undefined ? undefined : this.#live(device);
  }

  lastTransaction(): undefined {
    return undefined;
  }

  async rollback(name: DeviceName, to: DeviceName): Promise<DeviceInfo> {
    const { kind } = this.#require(name);
    await this.remove(name);
    return this.createSnapshot({ name, origin: to, kind: kind === 'base' ? 'snapshot' : kind });
  }

  async createSnapshots(
    origin: DeviceName,
    requests: readonly Omit<SnapshotRequest, 'origin'>[],
  ): Promise<readonly DeviceInfo[]> {
    const made: DeviceInfo[] = [];
    for (const { name } of requests)
      if (this.#devices.has(name))
        throw new ThinError('exists', `device ${name} exists already; choose another name`);
    for (const request of requests) made.push(await this.createSnapshot({ ...request, origin }));
    return made;
  }

  async createSnapshot(request: SnapshotRequest): Promise<DeviceInfo> {
    const origin = this.#require(request.origin);
    if (this.#devices.has(request.name))
      throw new ThinError('exists', `device ${request.name} exists already; choose another name`);
    if ((request.size ?? origin.size) < origin.size)
      throw new ThinError('invalid-argument', `device ${request.name} would be smaller than ${origin.name}`);
    this.#transaction++;
    const device = this.#device({
      ...origin,
      name: request.name,
      kind: request.kind,
      id: deviceId(++this.#lastId),
      origin: origin.id,
      originName: origin.name,
      size: request.size ?? origin.size,
      initialized: false,
      exclusive: 0,
      label: request.label ?? '',
      quota: request.quota,
      limit: request.limit,
    });
    if (request.originLabel !== undefined) this.#change(origin.name, { label: request.originLabel });
    this.#devices.set(device.name, device);
    this.log.push(`snapshot ${device.name} of ${origin.name}`);
    return device;
  }

  async createThin(request: ThinRequest): Promise<DeviceInfo> {
    if (this.#devices.has(request.name))
      throw new ThinError('exists', `device ${request.name} exists already; choose another name`);
    const { label = '', maker = '' } = request;
    const device = this.#device({ ...request, label, maker, id: deviceId(++this.#lastId) });
    this.#devices.set(device.name, device);
    return device;
  }

  async rename(name: DeviceName, to: DeviceName): Promise<DeviceInfo> {
    const device = { ...this.#require(name), name: to };
    if (this.#devices.has(to)) throw new ThinError('exists', `device ${to} exists already`);
    this.#devices.delete(name);
    this.#devices.set(to, device);
    return device;
  }

  async grow(name: DeviceName, size: number): Promise<DeviceInfo> {
    const device = this.#require(name);
    if (size < device.size) throw new ThinError('invalid-argument', `device ${name} does not shrink`);
    return this.#change(name, { size });
  }

  async update(name: DeviceName, change: DeviceChange): Promise<DeviceInfo> {
    this.#require(name);
    const { limit, ...rest } = change;
    return this.#change(name, limit === undefined ? rest : { ...rest, limit: limit || undefined });
  }

  /** As if time or somebody else had changed it. */
  async set(name: DeviceName, change: Partial<DeviceInfo>): Promise<void> {
    this.#change(name, change);
  }

  async remove(name: DeviceName): Promise<void> {
    this.#require(name);
    if (this.#images.has(name)) throw new ThinError('busy', `device ${name} is active`);
    this.#devices.delete(name);
    this.log.push(`remove ${name}`);
  }

  async setOptions(): Promise<void> {}

  async activate(name: DeviceName): Promise<MemoryImage> {
    const { size } = this.#require(name);
    const image = this.#images.get(name) ?? new MemoryImage(size);
    this.#images.set(name, image);
    this.log.push(`activate ${name}`);
    return image;
  }

  async deactivate(name: DeviceName): Promise<void> {
    this.#images.delete(name);
    this.log.push(`deactivate ${name}`);
  }

  active(name: DeviceName): MemoryImage | undefined {
    return this.#images.get(name);
  }

  async commit(): Promise<void> {}

  async extend(): Promise<PoolInfo> {
    return this.info();
  }

  async settle(): Promise<void> {}

  async check(): Promise<PoolCheck> {
    return { findings: [], devices: this.#devices.size, nodes: 0, chunks: 0 };
  }

  readonly tools: PoolTools = {
    freeze: () => Promise.reject(new ThinError('unsupported', 'this pool has no metadata')),
    jointExclusive: () => Promise.resolve(0),
    reserve: async () => {
      const id = (this.#reserved.at(-1)?.id ?? 0) + 1;
      const reserved = { id, createdAt: 0, transactionId: this.#transaction, devices: this.#devices.size };
      this.#reserved.push(reserved);
      return reserved;
    },
    release: async (id) => {
      const at = this.#reserved.findIndex((reserved) => reserved.id === id);
      if (at < 0) throw new ThinError('not-found', `there is no metadata snapshot ${id}`);
      this.#reserved.splice(at, 1);
    },
    reserved: () => this.#reserved,
    setTransactionId: async (from, to) => {
      if (from !== this.#transaction) throw new ThinError('invalid-argument', 'another transaction id');
      this.#transaction = to;
    },
  };

  async close(): Promise<void> {
    this.closed = true;
    this.#images.clear();
  }

  #change(name: DeviceName, change: Partial<DeviceInfo>): DeviceInfo {
    const device = { ...this.#require(name), ...change };
    this.#devices.set(name, device);
    return device;
  }

  #require(name: DeviceName): DeviceInfo {
    const device = this.#devices.get(name);
    if (device === undefined) throw new ThinError('not-found', `no device ${name}`);
    return device;
  }

  #live(device: DeviceInfo): DeviceInfo {
    return { ...device, active: this.#images.has(device.name) };
  }

  #device(fields: Partial<DeviceInfo> & Pick<DeviceInfo, 'name' | 'kind' | 'size'>): DeviceInfo {
    return {
      id: deviceId(1),
      origin: undefined,
      originName: undefined,
      mapped: 0,
      exclusive: 0,
      shared: 0,
      highestMapped: 0,
      transactionId: transactionId(1),
      creationTime: snapTime(0),
      snapTime: snapTime(0),
      createdAt: 1_700_000_000_000,
      filesystem: 'xfs',
      filesystemSize: fields.size,
      initialized: false,
      deleted: false,
      label: '',
      maker: '',
      active: false,
      ...fields,
    };
  }
}
