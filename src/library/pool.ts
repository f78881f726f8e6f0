import { DEFAULT_BLOCK_SIZE, DEFAULT_METADATA_SIZE } from '../config/defaults.js';
import type { FilesystemType, PoolOptions } from '../config/pool-options.js';
import { mergePoolOptions } from '../config/storage-options.js';
import { clearUnfinishedRoot, dispatcherOf, openAlone } from '../daemon/composition.js';
import { makePool } from '../daemon/make-pool.js';
import { rootLayout } from '../config/root-layout.js';
import type { Service } from '../daemon/service.js';
import { parseDeviceName } from '../format/device-name.js';
import type { PoolInfo } from '../pool/info.js';
import type { PoolCheck, SpaceRequest } from '../pool/thin-pool.js';
import type { DeviceStatus } from '../service/devices.js';
import { Device, type SnapshotOptions } from './device.js';
import { DeviceExport } from '../transfer/export-device.js';
import { PoolExport, type ExportedDevice } from '../transfer/export-pool.js';
import { ChildProcessExec } from '../host/exec.js';
import { IncomingStream, type Received, type ReceiveRequest } from '../transfer/receive.js';
import { Sender, type SendRequest } from '../transfer/send.js';
import { LocalAccess } from './local-access.js';
import { PoolDevices } from './pool-devices.js';

export interface OpenOptions {
  /**
   * Hears what does not keep the pool from being used, such as a mode that is not `rw`. Default: it goes
   * unheard.
   */
  readonly onWarning?: (text: string) => void;
}

/** Sizes in bytes. */
export interface CreateOptions extends OpenOptions {
  /**
   * A block device or a file, made where it is not there: a `direct` pool. Default: chunks are kept in
   * LevelDB.
   */
  readonly data?: string;
  /** Takes a data device or file that carries a signature. Default: false. */
  readonly force?: boolean;
  /** A power of two times 64 KiB, up to 1 GiB. Default: 64 KiB. */
  readonly blockSize?: number;
  /** What the pool can hold; a promise, not a reservation. Default: 100 GiB, or what `data` has. */
  readonly dataSize?: number;
  /** Default: 2 GiB. */
  readonly metadataSize?: number;
  readonly settings?: Partial<PoolOptions>;
}

export interface ThinOptions {
  /** Bytes; a multiple of 512. */
  readonly size: number;
  /** Bytes that it may map. Default: no limit. */
  readonly quota?: number;
  /** The filesystem that you will make in it. Default: the pool's. */
  readonly filesystem?: FilesystemType;
}

/**
 * Makes a pool in a folder that is missing or empty, and opens it. Its base device has no filesystem:
 * `thinfuse init` makes pools for that. Needs neither root nor FUSE, unless `data` is a block device. Leaves
 * nothing where it fails. Errors: exists, not-empty, invalid-argument, permission, no-space.
 */
export async function createPool(root: string, options: CreateOptions = {}): Promise<Pool> {
  const layout = rootLayout(root);
  const { blockSize = DEFAULT_BLOCK_SIZE, metadataSize = DEFAULT_METADATA_SIZE, force = false } = options;
  const { data, dataSize } = options;
  const request = { blockSize, metadataSize, data, dataSize, force };
  await clearUnfinishedRoot(layout);
  await makePool(layout, { ...request, options: mergePoolOptions(options.settings ?? {}) }, () =>
    Promise.resolve(),
  );
  return openPool(root, options);
}

/**
 * Opens the pool in a root folder. Errors: no-pool, locked (a daemon or another process has it), damaged,
 * wrong-version.
 */
export async function openPool(root: string, options: OpenOptions = {}): Promise<Pool> {
  return new Pool(await openAlone(rootLayout(root), options.onWarning ?? ((): void => undefined)));
}

/**
 * A pool that this process has open, and no other process may open: devices without FUSE, loop devices or
 * root. A write is durable after `Device.flush`, `commit` or `close`, or a second later.
 */
export class Pool implements AsyncDisposable {
  readonly #service: Service;
  readonly #devices: PoolDevices;
  readonly #access: LocalAccess;

  /** `openPool` and `createPool` make it. */
  constructor(service: Service) {
    this.#service = service;
    this.#devices = new PoolDevices(service.pool, service.devices, service.changes);
    this.#access = new LocalAccess(dispatcherOf(service), this.#devices);
  }

  /** Absolute, without symbolic links. */
  get root(): string {
    return this.#service.layout.root;
  }

  info(): PoolInfo {
    return this.#service.pool.info();
  }

  /** Ascending by device id; the base device is the first. */
  devices(): readonly DeviceStatus[] {
    return this.#service.devices.all();
  }

  /** Errors: not-found. */
  device(name: string): Device {
    const { name: found } = this.#service.devices.get(name);
    return new Device(this.#devices, found);
  }

  /** A blank device. Errors: exists, invalid-argument, too-large, no-space. */
  async create(name: string, { size, quota, filesystem }: ThinOptions): Promise<Device> {
    const { options } = this.info();
    await this.#service.devices.createThin({
      ...{ name, size, quota, kind: 'snapshot' },
      filesystem: filesystem ?? options.filesystem,
    });
    return new Device(this.#devices, parseDeviceName(name));
  }

  /** O(1): see `Device.snapshot`. */
  async snapshot(name: string, origin: string, options: SnapshotOptions = {}): Promise<Device> {
    return this.device(origin).snapshot(name, options);
  }

  /** Everything that was written is durable. */
  async commit(): Promise<void> {
    await this.#service.pool.commit();
  }

  /** No removed device holds space any more, and `exclusive` figures are exact. */
  async settle(): Promise<void> {
    await this.#service.pool.settle();
  }

  /** Bytes; what is left out stays. */
  async extend(to: SpaceRequest): Promise<PoolInfo> {
    return this.#service.pool.extend(to);
  }

  /** Reads the whole committed metadata from the store. What is wrong is in `findings`. */
  async check(): Promise<PoolCheck> {
    return this.#service.pool.check();
  }

  /**
   * A device, or what changed in it since another one, as `thinfuse send` writes it. The device is held still
   * while the stream is read. Errors: not-found, invalid-argument, damaged.
   */
  send(name: string, options: Omit<SendRequest, 'name'> = {}): AsyncGenerator<Uint8Array> {
    return new Sender(this.#access, { name, ...options }).stream();
  }

  /**
   * Makes a device of such a stream: all of it or nothing, or with `keepPartial` the part before a cut. Any
   * pool may have written the stream. Errors: exists, not-found (the base), invalid-argument (another base; a
   * damaged stream), no-space.
   */
  async receive(stream: AsyncIterable<Uint8Array>, request: ReceiveRequest = {}): Promise<Received> {
    return (await IncomingStream.begin(stream, request)).into(this.#access);
  }

  /**
   * Writes a device into a sparse file, which appears whole or not at all. Returns what it may lack
   * (`info().lacks`); undefined: nothing.
   */
  async exportRaw(name: string, file: string): Promise<string | undefined> {
    return (await new DeviceExport(this.#access, new ChildProcessExec()).raw(name, file)).lacks;
  }

  /**
   * Writes the whole pool for the kernel's dm-thin into a folder that is missing or empty. Errors:
   * missing-tool (thin_restore), not-empty.
   */
  async exportPool(folder: string): Promise<readonly ExportedDevice[]> {
    return (await (await PoolExport.to(folder, new ChildProcessExec())).write(this.#access)).devices;
  }

  /** Every write is durable when it resolves. Idempotent. */
  async close(): Promise<void> {
    await this.#service.projection.settled();
    await this.#service.pool.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
