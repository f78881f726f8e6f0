import { strict as assert } from 'node:assert';
import path from 'node:path';
import type { DeviceName } from '../format/ids.js';
import type { ImageDirectory, ImageFile } from '../io/image-file.js';
import type { ThinPool } from '../pool/thin-pool.js';

interface Entry {
  readonly device: DeviceName;
  readonly fileName: string;
  readonly image: ImageFile;
  open: number;
  openForWriting: number;
}

/** What `<root>/dev` shows: one image file an active device, named as dm would name the device. */
export class DeviceDirectory implements ImageDirectory {
  readonly #folder: string;
  readonly #fileNameOf: (name: DeviceName) => string;
  readonly #pool: Pick<ThinPool, 'info' | 'figures'>;
  readonly #onIdle: (name: DeviceName) => void;
  readonly #byDevice = new Map<DeviceName, Entry>();
  readonly #byFile = new Map<string, Entry>();

  constructor(
    folder: string,
    fileNameOf: (name: DeviceName) => string,
    pool: Pick<ThinPool, 'info' | 'figures'>,
    /** The last file that was open on a device's image was closed. */
    onIdle: (name: DeviceName) => void,
  ) {
    this.#folder = folder;
    this.#fileNameOf = fileNameOf;
    this.#pool = pool;
    this.#onIdle = onIdle;
  }

  names(): readonly string[] {
    return [...this.#byFile.keys()];
  }

  lookup(fileName: string): ImageFile | undefined {
    return this.#byFile.get(fileName)?.image;
  }

  space(): { total: number; free: number } {
    const { dataTotal, dataUsed } = this.#pool.info();
    const { host, isCached } = this.#pool.figures();
    // Chunks that are kept beside the metadata take their space from the same disk as everybody's files.
    const room = host === undefined || !isCached ? Infinity : Math.max(0, host.free - host.floor);
    const free = Math.min(dataTotal - dataUsed, room);
    return { total: dataUsed + free, free };
  }

  opened(fileName: string, delta: 1 | -1, forWriting: boolean): void {
    const entry = this.#byFile.get(fileName);
    if (entry === undefined) return;
    entry.open += delta;
    if (forWriting) entry.openForWriting += delta;
    if (entry.open === 0) this.#onIdle(entry.device);
  }

  add(name: DeviceName, image: ImageFile): void {
    assert(!this.#byDevice.has(name), `${name} is served already`);
    const entry = { device: name, fileName: this.#fileNameOf(name), image, open: 0, openForWriting: 0 };
    this.#byDevice.set(name, entry);
    this.#byFile.set(entry.fileName, entry);
  }

  remove(name: DeviceName): void {
    const entry = this.#byDevice.get(name);
    if (entry === undefined) return;
    this.#byDevice.delete(name);
    this.#byFile.delete(entry.fileName);
  }

  devices(): readonly DeviceName[] {
    return [...this.#byDevice.keys()];
  }

  /** The image file of a device that is served. */
  pathOf(name: DeviceName): string | undefined {
    const entry = this.#byDevice.get(name);
    return entry === undefined ? undefined : path.join(this.#folder, entry.fileName);
  }

  /** How many files are open on it, by loop devices and other programs. */
  openCount(name: DeviceName): number {
    return this.#byDevice.get(name)?.open ?? 0;
  }

  /** How many of these may write. */
  writerCount(name: DeviceName): number {
    return this.#byDevice.get(name)?.openForWriting ?? 0;
  }
}
