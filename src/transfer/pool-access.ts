import { open, type FileHandle } from 'node:fs/promises';
import type {
  Caller,
  OperationName,
  Operations,
  TextOperationName,
  TextOperations,
} from '../api/operations.js';
import { saidBy, type Exec } from '../host/exec.js';
import { writeAll } from './output-file.js';
import { ownMaker } from './passing-devices.js';

const ZEROES = Buffer.alloc(2 ** 20);

/**
 * The bytes of a device while a caller has it open. Several calls may be on their way at once. Errors:
 * no-space, io.
 */
export interface DeviceBytes {
  /** The image file; undefined: the device is reached without one. */
  readonly path: string | undefined;
  /**
   * Returns how many bytes there were from `offset` on, at most as many as `into` takes; 0: the device ends
   * there.
   */
  read(offset: number, into: Uint8Array): Promise<number>;
  write(offset: number, from: Uint8Array): Promise<void>;
  /** The range reads as zeroes afterwards, and takes no space where the pool can give it back. */
  zero(offset: number, length: number): Promise<void>;
  /** What was written is durable. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The view of a pool for code that brings devices in and out: its operations, and the bytes of its devices.
 */
export interface PoolAccess extends Caller {
  /** Errors: as the operation `activate`. */
  open(name: string, how: { readonly write: boolean }): Promise<DeviceBytes>;
}

/** One whose operations are another caller's. */
export abstract class CallerAccess implements PoolAccess {
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  abstract open(name: string, how: { readonly write: boolean }): Promise<DeviceBytes>;

  call<K extends OperationName>(name: K, input: Operations[K]['input']): Promise<Operations[K]['output']> {
    return this.#caller.call(name, input);
  }

  text<K extends TextOperationName>(name: K, input: TextOperations[K]['input']): AsyncIterable<string> {
    return this.#caller.text(name, input);
  }
}

/** Through the daemon that serves the pool's devices: their bytes are image files. */
export class ServedAccess extends CallerAccess {
  readonly #exec: Exec;

  constructor(caller: Caller, exec: Exec) {
    super(caller);
    this.#exec = exec;
  }

  async open(name: string, { write }: { readonly write: boolean }): Promise<DeviceBytes> {
    const { path, fresh } = await this.call('activate', { name, maker: await ownMaker() });
    // Who made it active before has it so until they deactivate it.
    const leave = async (): Promise<unknown> => (fresh ? this.call('deactivate', { name }) : undefined);
    try {
      const handle = await open(path, write ? 'r+' : 'r');
      return new ImageBytes(path, handle, this.#exec, leave);
    } catch (error) {
      await leave();
      throw error;
    }
  }
}

class ImageBytes implements DeviceBytes {
  readonly path: string;
  readonly #handle: FileHandle;
  readonly #exec: Exec;
  readonly #onClosed: () => Promise<unknown>;

  constructor(path: string, handle: FileHandle, exec: Exec, onClosed: () => Promise<unknown>) {
    this.path = path;
    this.#handle = handle;
    this.#exec = exec;
    this.#onClosed = onClosed;
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    return (await this.#handle.read(into, 0, into.length, offset)).bytesRead;
  }

  async write(offset: number, from: Uint8Array): Promise<void> {
    await writeAll(this.#handle, offset, from);
  }

  /** Punches a hole; where the transport passes none on, zeroes do. */
  async zero(offset: number, length: number): Promise<void> {
    const range = ['--offset', `${offset}`, '--length', `${length}`];
    try {
      await this.#exec.run('fallocate', ['--punch-hole', '--keep-size', ...range, this.path]);
    } catch (error) {
      if (!saidBy(error, /not supported|not implemented/i)) throw error;
      for (let done = 0; done < length; done += ZEROES.length)
        await this.write(offset + done, ZEROES.subarray(0, Math.min(ZEROES.length, length - done)));
    }
  }

  async sync(): Promise<void> {
    await this.#handle.sync();
  }

  async close(): Promise<void> {
    try {
      await this.#handle.close();
    } finally {
      await this.#onClosed();
    }
  }
}
