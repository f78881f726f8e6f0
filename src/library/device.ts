import { ThinError } from '../errors/thin-error.js';
import { parseDeviceName } from '../format/device-name.js';
import type { DeviceName } from '../format/ids.js';
import type { ImageFile } from '../io/image-file.js';
import type { DeviceKind } from '../pool/info.js';
import type { DeviceStatus } from '../service/devices.js';
import type { PoolDevices } from './pool-devices.js';

/** Bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

export interface SnapshotOptions {
  /** Default: snapshot. */
  readonly kind?: Exclude<DeviceKind, 'base'>;
  /** Bytes; at least the origin's. Default: the origin's. */
  readonly size?: number;
  /** Bytes that it may map, those included that it shares. Default: no limit. */
  readonly quota?: number;
  /** Bytes that its filesystem may hold wherever a daemon mounts it. Default: all that it has. */
  readonly limit?: number;
}

/**
 * A thin device of a pool that this process has open: a block device's worth of bytes. What was never written
 * reads as zeroes and takes no space. A write may be read back at once, and is durable after the next
 * `flush`, or a second later. Errors of all methods: not-found (the device is gone), closed (the pool is),
 * invalid-argument (a range outside of the device), read-only, no-space, damaged, io.
 */
export class Device {
  readonly #devices: PoolDevices;
  #name: DeviceName;

  /** For `Pool`, which hands devices out. */
  constructor(devices: PoolDevices, name: DeviceName) {
    this.#devices = devices;
    this.#name = name;
  }

  get name(): string {
    return this.#name;
  }

  /** As it stands now. */
  info(): DeviceStatus {
    return this.#devices.service.get(this.#name);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const image = await this.#image(offset, length);
    const bytes = new Uint8Array(length);
    await image.read(offset, bytes);
    return bytes;
  }

  /** `bytes` is left alone until the promise settles. */
  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const image = await this.#image(offset, bytes.length);
    await image.write(offset, bytes);
  }

  /**
   * Whole chunks inside the range lose their mapping and read as zeroes; what is left at its ends stays as it
   * is.
   */
  async discard(offset: number, length: number): Promise<void> {
    const image = await this.#image(offset, length);
    await image.discard(offset, length);
  }

  /** The range reads as zeroes; whole chunks give their space back. */
  async writeZeroes(offset: number, length: number): Promise<void> {
    const image = await this.#image(offset, length);
    await image.writeZeroes(offset, length);
  }

  /** Every earlier write is durable when it resolves. */
  async flush(): Promise<void> {
    const image = await this.#image(0, 0);
    await image.flush();
  }

  /** Where data may be, in whole chunks, ascending; everything else reads as zeroes. */
  async *dataRanges(): AsyncGenerator<ByteRange> {
    const image = await this.#image(0, 0);
    let offset = await image.seek(0, 'data');
    while (offset !== undefined) {
      const end = (await image.seek(offset, 'hole')) ?? image.size;
      yield { offset, length: end - offset };
      offset = end < image.size ? await image.seek(end, 'data') : undefined;
    }
  }

  /** O(1), whatever the size: what this device holds now, as a device of its own. */
  async snapshot(name: string, options: SnapshotOptions = {}): Promise<Device> {
    const { kind = 'snapshot', size, quota, limit } = options;
    await this.#devices.service.create({ name, origin: this.#name, kind, size, quota, limit });
    return new Device(this.#devices, parseDeviceName(name));
  }

  async rename(to: string): Promise<void> {
    await this.#devices.deactivate(this.#name);
    await this.#devices.service.rename(this.#name, to);
    this.#name = parseDeviceName(to);
  }

  /** Bytes. Errors: invalid-argument (smaller). */
  async grow(size: number): Promise<void> {
    await this.#devices.service.grow(this.#name, size);
  }

  /** Bytes that it may map; undefined: no limit. */
  async setQuota(quota: number | undefined): Promise<void> {
    await this.#devices.service.setQuota(this.#name, quota ?? 0);
  }

  /** Bytes that its filesystem may hold wherever a daemon mounts it; undefined: all that it has. */
  async setLimit(limit: number | undefined): Promise<void> {
    await this.#devices.service.setLimit(this.#name, limit ?? 0);
  }

  /** It becomes an image, which containers can start from. */
  async seal(): Promise<void> {
    await this.#devices.service.seal(this.#name);
  }

  /** O(1): the space comes back in the background (`Pool.settle` waits for it). */
  async remove(): Promise<void> {
    await this.#devices.deactivate(this.#name);
    await this.#devices.service.remove(this.#name);
  }

  async #image(offset: number, length: number): Promise<ImageFile> {
    const image = await this.#devices.activate(this.#name);
    const fits = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
    if (fits && offset + length <= image.size) return image;
    throw new ThinError(
      'invalid-argument',
      `device ${this.#name} has ${image.size} bytes, and ${length} at ${offset} are not all inside`,
      { details: { device: this.#name } },
    );
  }
}
