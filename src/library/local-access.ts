import type { Caller } from '../api/operations.js';
import { parseDeviceName } from '../format/device-name.js';
import type { ImageFile } from '../io/image-file.js';
import { CallerAccess, type DeviceBytes } from '../transfer/pool-access.js';
import type { PoolDevices } from './pool-devices.js';

/** A pool that this process has open: its devices are reached without image files. */
export class LocalAccess extends CallerAccess {
  readonly #devices: PoolDevices;

  constructor(caller: Caller, devices: PoolDevices) {
    super(caller);
    this.#devices = devices;
  }

  async open(given: string): Promise<DeviceBytes> {
    const name = parseDeviceName(given, { allowBase: true });
    return new LocalBytes(await this.#devices.activate(name), () => this.#devices.deactivate(name));
  }
}

class LocalBytes implements DeviceBytes {
  readonly path = undefined;
  readonly #image: ImageFile;
  readonly #onClosed: () => Promise<void>;

  constructor(image: ImageFile, onClosed: () => Promise<void>) {
    this.#image = image;
    this.#onClosed = onClosed;
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    const length = Math.max(0, Math.min(into.length, this.#image.size - offset));
    await this.#image.read(offset, into.subarray(0, length));
    return length;
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    await this.#image.write(offset, from);
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#image.writeZeroes(offset, length);
  }

  async sync(): Promise<void> {
    await this.#image.flush();
  }

  async close(): Promise<void> {
    await this.#onClosed();
  }
}
