import type { FilesystemType } from '../config/pool-options.js';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import type { Content } from '../format/device-properties.js';
import { ownMaker } from './passing-devices.js';
import type { DeviceBytes, PoolAccess } from './pool-access.js';

export interface NewDevice {
  readonly name: string;
  /** A device made before; undefined: an empty one. */
  readonly origin: string | undefined;
  /** Bytes; at least the origin's. */
  readonly size: number;
  readonly kind: 'image' | 'container' | 'snapshot';
  readonly filesystem: FilesystemType;
  /** Default: the origin's, or `rootfs`. */
  readonly content?: Content | undefined;
}

/**
 * A device of the new pool while it is filled. Ranges lie inside the device; several calls may be on their
 * way at once.
 */
export interface TargetImage {
  write(offset: number, from: Uint8Array): Promise<void>;
  /** The range reads as zeroes afterwards, and takes no space where the pool can give it back. */
  zero(offset: number, length: number): Promise<void>;
  /** Every write is durable, and this process uses the device no more. */
  close(): Promise<void>;
}

/** The pool that devices are imported into. Errors of all: as the pool's. */
export interface ImportTarget {
  create(device: NewDevice): Promise<void>;
  open(name: string): Promise<TargetImage>;
  /** The device is complete. */
  finish(device: Pick<NewDevice, 'name' | 'kind'>): Promise<void>;
  /** Undoes `create`. */
  remove(name: string): Promise<void>;
}

/** A pool that this process makes devices in: each is marked as its own until it is complete. */
export class PoolTarget implements ImportTarget {
  readonly #access: PoolAccess;

  constructor(access: PoolAccess) {
    this.#access = access;
  }

  async create({ name, origin, size, kind, filesystem, content }: NewDevice): Promise<void> {
    // Nothing starts from an image that is not complete: it becomes one at the end.
    const maker = await ownMaker();
    const made = kind === 'image' ? 'snapshot' : kind;
    if (origin === undefined)
      await this.#access.call('device.createThin', {
        ...{ name, size, kind: made, filesystem, content, maker },
      });
    else {
      const from = await this.#access.call('device.get', { name: origin });
      const allowed = made === 'container' && from.kind !== 'image' ? 'snapshot' : made;
      await this.#access.call('device.create', { name, origin, kind: allowed, size, content, maker });
    }
  }

  async open(name: string): Promise<TargetImage> {
    return new Filling(name, await this.#access.open(name, { write: true }));
  }

  async finish({ name, kind }: Pick<NewDevice, 'name' | 'kind'>): Promise<void> {
    const maker = await ownMaker();
    if (kind === 'image') await this.#access.call('device.seal', { name, maker });
    else await this.#access.call('device.finish', { name, maker });
  }

  async remove(name: string): Promise<void> {
    await this.#access.call('device.remove', { name, force: true });
  }
}

class Filling implements TargetImage {
  readonly #name: string;
  readonly #bytes: DeviceBytes;

  constructor(name: string, bytes: DeviceBytes) {
    this.#name = name;
    this.#bytes = bytes;
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    await this.#bytes.write(offset, from).catch((error: unknown) => this.#explain(error));
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#bytes.zero(offset, length).catch((error: unknown) => this.#explain(error));
  }

  async close(): Promise<void> {
    try {
      await this.#bytes.sync();
    } finally {
      await this.#bytes.close();
    }
  }

  #explain(error: unknown): never {
    if (systemErrorCode(error) !== 'ENOSPC' && !(error instanceof ThinError && error.code === 'no-space'))
      throw error;
    throw new ThinError(
      'no-space',
      `the pool ran full while ${this.#name} was imported, and all imported devices are removed again; extend the pool, or import fewer devices`,
      { cause: error, details: { device: this.#name } },
    );
  }
}
