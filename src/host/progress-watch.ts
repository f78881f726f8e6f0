import { readFile } from 'node:fs/promises';

/** Looks at a process within the time that it may stand still. */
const LOOKS = 10;

/**
 * Tells where a process does nothing for a while: neither its processor time nor what it has read and written
 * changes (proc(5)).
 */
export class ProgressWatch {
  readonly #pid: number;
  readonly #stallMs: number;
  readonly #onStall: () => void;
  readonly #timer: NodeJS.Timeout;
  #seen = '';
  #since = performance.now();

  constructor(pid: number, stallMs: number, onStall: () => void) {
    this.#pid = pid;
    this.#stallMs = stallMs;
    this.#onStall = onStall;
    this.#timer = setInterval(() => void this.#look(), stallMs / LOOKS).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const now = await doneBy(this.#pid);
    if (now !== this.#seen) {
      this.#seen = now;
      this.#since = performance.now();
    } else if (performance.now() - this.#since >= this.#stallMs) {
      this.stop();
      this.#onStall();
    }
  }
}

/** Of the process itself: each tool that is waited for so does its work alone. */
async function doneBy(pid: number): Promise<string> {
  const [stat, io] = await Promise.all(
    ['stat', 'io'].map((file) => readFile(`/proc/${pid}/${file}`, 'latin1').catch(() => '')),
  );
  // Fields from behind the name: utime and stime are the 14th and 15th of all.
  const fields = stat!.slice(stat!.lastIndexOf(')') + 2).split(' ');
  return `${fields[11]} ${fields[12]} ${io}`;
}
