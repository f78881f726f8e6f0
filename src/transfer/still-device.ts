import type { DeviceStatus } from '../api/operations.js';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { linesIn } from '../format/line-pieces.js';
import type { MappingRun } from '../metadata/mapping-runs.js';
import { dumpedRuns } from '../thin-tools/dump-runs.js';
import { ownMaker, passingName } from './passing-devices.js';
import type { DeviceBytes, PoolAccess } from './pool-access.js';

/** A device that the store has as it is, because nothing changes it. */
export class StoredDevice {
  readonly name: string;
  readonly isItself = false;
  readonly #access: PoolAccess;

  constructor(access: PoolAccess, name: string) {
    this.#access = access;
    this.name = name;
  }

  runs(): AsyncGenerator<MappingRun> {
    return dumpedRuns(this.#access.text('metadata.dump', { format: 'xml', device: this.name, plain: true }));
  }
}

/** A device as it was at one moment, until `release`. */
export class StillDevice {
  /** What stands for it in the pool meanwhile. */
  readonly name: string;
  /** The device itself, as it was. */
  readonly device: DeviceStatus;
  /** As `PoolInfo.lacks`. */
  readonly lacks: string | undefined;
  readonly #access: PoolAccess;
  #bytes: Promise<DeviceBytes> | undefined;
  #isKept = false;

  private constructor(
    access: PoolAccess,
    parts: { name: string; device: DeviceStatus; lacks: string | undefined },
  ) {
    this.#access = access;
    this.name = parts.name;
    this.device = parts.device;
    this.lacks = parts.lacks;
  }

  /**
   * Takes a snapshot that shows one moment of a device while its users continue. If the pool takes no
   * snapshot (it is read-only, or nearly full), a device that nobody can write to is read itself, also while
   * others read it. Errors: not-found; busy (open for writing, in such a pool).
   */
  static async hold(access: PoolAccess, name: string): Promise<StillDevice> {
    const device = await access.call('device.get', { name });
    const { lacks } = await access.call('pool.info', {});
    return new StillDevice(access, { name: await snapshotOf(access, device), device, lacks });
  }

  /**
   * The path of its image file, which is active from then on. Errors: unsupported (it is reached without
   * one).
   */
  async path(): Promise<string> {
    const { path } = await this.#open();
    if (path !== undefined) return path;
    throw new ThinError(
      'unsupported',
      'a pool that is open in this process has no image files; use a daemon for that',
    );
  }

  /** No snapshot stands for it: the store may be behind it, and will not follow. */
  get isItself(): boolean {
    return this.name === this.device.name;
  }

  /** `time` is 0 where the device itself is read: older than every snapshot. */
  async *runs(): AsyncGenerator<MappingRun> {
    if (!this.isItself) {
      yield* new StoredDevice(this.#access, this.name).runs();
      return;
    }
    await this.#open();
    for await (const lines of linesIn(this.#access.text('device.runs', { device: this.name })))
      for (const line of lines) yield { ...(JSON.parse(line) as Omit<MappingRun, 'time'>), time: 0 };
  }

  /** Fills all of `into`, with zeroes behind the end. Errors: damaged. */
  async read(offset: number, into: Uint8Array): Promise<void> {
    const bytes = await this.#open();
    let done = 0;
    try {
      while (done < into.length) {
        const read = await bytes.read(offset + done, into.subarray(done));
        if (read === 0) break;
        done += read;
      }
    } catch (error) {
      throw new ThinError(
        'damaged',
        `device ${this.device.name} cannot be read at byte ${offset + done} (${systemErrorCode(error) ?? String(error)}); look at it with: thinfuse check`,
        { cause: error, details: { device: this.device.name, offset: offset + done } },
      );
    }
    into.fill(0, done);
  }

  /**
   * Keeps it as it is under another name, once it was read. False where it is the device itself. Errors: as
   * the operation `device.anchor`.
   */
  async keepAs(to: string, label: string): Promise<boolean> {
    if (this.isItself) return false;
    await this.#close();
    await this.#access.call('device.anchor', { name: this.name, to, label, maker: await ownMaker() });
    this.#isKept = true;
    return true;
  }

  async release(): Promise<void> {
    await this.#close();
    if (!this.isItself && !this.#isKept)
      await this.#access.call('device.remove', { name: this.name, force: true });
  }

  async #close(): Promise<void> {
    const bytes = await this.#bytes;
    this.#bytes = undefined;
    await bytes?.close();
  }

  #open(): Promise<DeviceBytes> {
    return (this.#bytes ??= this.#access.open(this.name, { write: false }));
  }
}

/** Holds the device while `work` runs. Errors: as `StillDevice.hold`; those of `work`. */
export async function withStill<T>(
  access: PoolAccess,
  name: string,
  work: (still: StillDevice) => Promise<T>,
): Promise<T> {
  const still = await StillDevice.hold(access, name);
  try {
    return await work(still);
  } finally {
    await still.release();
  }
}

async function snapshotOf(access: PoolAccess, { name, writers }: DeviceStatus): Promise<string> {
  const held = passingName();
  try {
    const maker = await ownMaker();
    await access.call('device.create', { name: held, origin: name, kind: 'snapshot', maker });
    return held;
  } catch (error) {
    if (!(error instanceof ThinError) || (error.code !== 'read-only' && error.code !== 'no-space'))
      throw error;
    // What a read-only pool is asked to write fails.
    if (writers === 0 || error.code === 'read-only') return name;
    throw new ThinError(
      'busy',
      `device ${name} is in use for writing, and no snapshot can be taken to read it meanwhile (${error.message}); unmount it, or mount it with --ro, first`,
      { cause: error, details: { device: name } },
    );
  }
}
