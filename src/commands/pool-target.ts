import { open, type FileHandle } from 'node:fs/promises';
import type { Caller } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import { saidBy, type Exec } from '../host/exec.js';
import type { ImportTarget, NewDevice, TargetImage } from '../legacy/import-devices.js';
import { writeAll } from '../transfer/output-file.js';
import { ownMaker } from './passing-devices.js';

const ZEROES = Buffer.alloc(2 ** 20);

/** A pool through its daemon: devices by its operations, data through their image files. */
export class PoolTarget implements ImportTarget {
  readonly #caller: Caller;
  readonly #exec: Exec;

  constructor(caller: Caller, exec: Exec) {
    this.#caller = caller;
    this.#exec = exec;
  }

  async create({ name, origin, size, kind, filesystem }: NewDevice): Promise<void> {
    // Nothing starts from an image that is not complete: it becomes one at the end.
    const maker = await ownMaker();
    const made = kind === 'image' ? 'snapshot' : kind;
    if (origin === undefined)
      await this.#caller.call('device.createThin', { name, size, kind: made, filesystem, maker });
    else {
      const from = await this.#caller.call('device.get', { name: origin });
      const allowed = made === 'container' && from.kind !== 'image' ? 'snapshot' : made;
      await this.#caller.call('device.create', { name, origin, kind: allowed, size, maker });
    }
  }

  async open(name: string): Promise<TargetImage> {
    const { path } = await this.#caller.call('activate', { name, maker: await ownMaker() });
    const handle = await open(path, 'r+');
    return {
      write: (offset, from) => writeAll(handle, offset, from).catch(explain(name)),
      zero: (offset, length) => this.#zero(path, handle, offset, length).catch(explain(name)),
      close: async () => {
        try {
          await handle.sync();
        } finally {
          await handle.close();
          await this.#caller.call('deactivate', { name });
        }
      },
    };
  }

  async finish({ name, kind }: NewDevice): Promise<void> {
    const maker = await ownMaker();
    if (kind === 'image') await this.#caller.call('device.seal', { name, maker });
    else await this.#caller.call('device.finish', { name, maker });
  }

  async remove(name: string): Promise<void> {
    await this.#caller.call('device.remove', { name, force: true });
  }

  /** Punches a hole; where the transport passes none on, zeroes do. */
  async #zero(path: string, handle: FileHandle, offset: number, length: number): Promise<void> {
    const range = ['--offset', String(offset), '--length', String(length)];
    try {
      await this.#exec.run('fallocate', ['--punch-hole', '--keep-size', ...range, path]);
    } catch (error) {
      if (!saidBy(error, /not supported|not implemented/i)) throw error;
      for (let done = 0; done < length; done += ZEROES.length)
        await writeAll(handle, offset + done, ZEROES.subarray(0, Math.min(ZEROES.length, length - done)));
    }
  }
}

function explain(name: string): (error: unknown) => never {
  return (error) => {
    if (error instanceof Error && 'code' in error && error.code === 'ENOSPC')
      throw new ThinError(
        'no-space',
        `the pool ran full while ${name} was imported, and what was imported has been removed again; extend the pool, or import fewer devices`,
        { cause: error, details: { device: name } },
      );
    throw error;
  };
}
