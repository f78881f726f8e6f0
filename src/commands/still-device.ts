import { open, type FileHandle } from 'node:fs/promises';
import type { Caller, DeviceStatus } from '../api/operations.js';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import type { MappingRun } from '../metadata/mapping-runs.js';
import { dumpedRuns } from '../thin-tools/dump-runs.js';
import { ownMaker, passingName } from './passing-devices.js';

/** A device as it was at one moment, for as long as a command reads it. */
export interface StillDevice {
  /** What stands for it in the pool meanwhile. */
  readonly name: string;
  /** The device itself, as it was. */
  readonly device: DeviceStatus;
  /** Its image file, which is active from then on. */
  path(): Promise<string>;
  runs(): AsyncGenerator<MappingRun>;
  /** Fills all of `into`, with zeroes behind the end. Errors: damaged. */
  read(offset: number, into: Uint8Array): Promise<void>;
}

/**
 * Holds a device still by a snapshot of its own, so that who uses it goes on. A pool that takes no snapshot any more (it is read-only, or
 * nearly full) still lets a device be read that nobody uses.
 * Errors: not-found; busy (in use, in such a pool); those of `work`.
 */
export async function withStill<T>(
  caller: Caller,
  name: string,
  work: (still: StillDevice) => Promise<T>,
): Promise<T> {
  const device = await caller.call('device.get', { name });
  const held = await hold(caller, device);
  const still = new Reader(caller, held, device);
  try {
    return await work(still);
  } finally {
    await still.close();
    if (held !== name) await caller.call('device.remove', { name: held, force: true });
  }
}

async function hold(caller: Caller, { name, active }: DeviceStatus): Promise<string> {
  const held = passingName();
  try {
    const maker = await ownMaker();
    await caller.call('device.create', { name: held, origin: name, kind: 'snapshot', maker });
    return held;
  } catch (error) {
    if (!(error instanceof ThinError) || (error.code !== 'read-only' && error.code !== 'no-space'))
      throw error;
    if (!active) return name;
    throw new ThinError(
      'busy',
      `device ${name} is in use, and no snapshot can be taken to read it meanwhile (${error.message}); unmount and deactivate it first`,
      { cause: error, details: { device: name } },
    );
  }
}

class Reader implements StillDevice {
  readonly name: string;
  readonly device: DeviceStatus;
  readonly #caller: Caller;
  #path: Promise<string> | undefined;
  #handle: Promise<FileHandle> | undefined;

  constructor(caller: Caller, name: string, device: DeviceStatus) {
    this.name = name;
    this.device = device;
    this.#caller = caller;
  }

  path(): Promise<string> {
    return (this.#path ??= this.#activate());
  }

  async #activate(): Promise<string> {
    return (await this.#caller.call('activate', { name: this.name, maker: await ownMaker() })).path;
  }

  runs(): AsyncGenerator<MappingRun> {
    return dumpedRuns(this.#caller.text('metadata.dump', { format: 'xml', device: this.name, plain: true }));
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    const handle = await (this.#handle ??= this.path().then((path) => open(path, 'r')));
    let done = 0;
    try {
      while (done < into.length) {
        const { bytesRead } = await handle.read(into, done, into.length - done, offset + done);
        if (bytesRead === 0) break;
        done += bytesRead;
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

  async close(): Promise<void> {
    await (await this.#handle)?.close();
    if (this.#path !== undefined) await this.#caller.call('deactivate', { name: this.name });
  }
}
