import { fstatSync, writeSync } from 'node:fs';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';

/** Milliseconds until a full pipe is tried again that another process has made non-blocking. */
const FULL_MS = 5;
const NEVER = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));

/**
 * Standard output or error, written with write(2), at once and in order. No code calls
 * `process.stdout.write`: it keeps in memory what a pipe does not take at once, and loses it when the process
 * exits; it makes the pipe non-blocking for all who share it, such as a tar that is our child; and it takes a
 * file for written of which a full disk took a part.
 */
class StandardStream {
  readonly #fd: number;
  readonly #name: string;
  #readerGone = false;

  constructor(fd: 1 | 2) {
    this.#fd = fd;
    this.#name = fd === 1 ? 'standard output' : 'standard error';
  }

  /** A write failed because the reader closed its end. */
  get readerGone(): boolean {
    return this.#readerGone;
  }

  /** Waits for a slow reader. @throws ThinError reader-gone, no-space, io */
  write(piece: string | Uint8Array): void {
    const bytes = bytesOf(piece);
    for (let done = 0; done < bytes.length;) {
      const taken = this.#some(bytes, done, bytes.length - done);
      if (taken === 0) Atomics.wait(NEVER, 0, 0, FULL_MS);
      done += taken;
    }
  }

  /**
   * As `write`, for what goes on for long: signals are heard while a pipe is full. All of standard output, or
   * nothing, goes this way.
   */
  async stream(bytes: Uint8Array): Promise<void> {
    const kind = fstatSync(this.#fd);
    if (!kind.isFIFO() && !kind.isSocket()) {
      this.write(bytes);
      return;
    }
    const stream = this.#fd === 1 ? process.stdout : process.stderr;
    // Each write reports its own failure.
    if (stream.listenerCount('error') === 0) stream.on('error', () => undefined);
    await new Promise<void>((resolve, reject) => {
      stream.write(bytes, (error) => {
        if (error == null) resolve();
        else reject(this.#failure(systemErrorCode(error), error));
      });
    });
  }

  /** Bytes that were taken, 0 where a non-blocking pipe is full. */
  #some(bytes: Uint8Array, from: number, length: number): number {
    try {
      return writeSync(this.#fd, bytes, from, length);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'EAGAIN' || code === 'EINTR') return 0;
      throw this.#failure(code, error);
    }
  }

  #failure(code: string | undefined, error: unknown): ThinError {
    const options = { cause: error };
    if (code === 'EPIPE' || code === 'ECONNRESET') {
      this.#readerGone = true;
      return new ThinError('reader-gone', `the reader of ${this.#name} has gone`, options);
    }
    if (code === 'ENOSPC' || code === 'EDQUOT')
      return new ThinError('no-space', `${this.#name} is on a full disk; make room there`, options);
    return new ThinError('io', `${this.#name} cannot be written: ${String(error)}`, options);
  }
}

export const standardOutput = new StandardStream(1);
export const standardError = new StandardStream(2);

function bytesOf(piece: string | Uint8Array): Uint8Array {
  return typeof piece === 'string' ? Buffer.from(piece) : piece;
}
