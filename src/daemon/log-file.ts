import {
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readlinkSync,
  realpathSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import path from 'node:path';

/** Bytes after which the log begins anew, and what it held is in `.1`. */
const MOST_BYTES = 16 * 1024 ** 2;
const HOW = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;

/**
 * The log in the root. The daemon finds it by its path, so that a tool that rotates logs may rename it. No
 * rotation is necessary, because the log is bounded. A line that cannot be written is lost, because a full
 * disk must not cost the pool.
 */
export class LogFile {
  readonly #path: string;
  readonly #mostBytes: number;
  #fd: number;
  /** Bytes, as far as this process wrote them. */
  #size: number;

  /** @throws as open(2) */
  constructor(file: string, mostBytes = MOST_BYTES) {
    this.#path = file;
    this.#mostBytes = mostBytes;
    this.#fd = openSync(file, HOW, 0o600);
    this.#size = fstatSync(this.#fd).size;
  }

  write(line: string): void {
    try {
      if (this.#size >= this.#mostBytes) this.#beginAnew();
      this.#size += writeSync(this.#fd, line);
    } catch {
      // The line is lost.
    }
  }

  /** For a child process to print into. */
  get descriptor(): number {
    return this.#fd;
  }

  /**
   * After a rename of the file: a new one in its place. Where none can be made, lines go on into the old one.
   */
  reopen(): void {
    let fresh: number;
    try {
      fresh = openSync(this.#path, HOW, 0o600);
    } catch {
      return;
    }
    closeSync(this.#fd);
    this.#fd = fresh;
    this.#size = fstatSync(fresh).size;
  }

  close(): void {
    closeSync(this.#fd);
  }

  /** By a copy, because the supervisor and standard error have the file open too. */
  #beginAnew(): void {
    // What fails is tried again after as many bytes, and not with each line.
    this.#size = 0;
    const [here, there] = [fstatSync(this.#fd), statSync(this.#path, { throwIfNoEntry: false })];
    if (here.ino !== there?.ino) {
      this.reopen();
      return;
    }
    const old = `${this.#path}.1`;
    rmSync(old, { force: true });
    copyFileSync(this.#path, old, constants.COPYFILE_EXCL);
    ftruncateSync(this.#fd);
  }
}

/**
 * Whether standard output is this log, or was before its rotation, as of a daemon that follows
 * another.
 */
export function printsTo(file: string): boolean {
  try {
    const log = path.join(realpathSync(path.dirname(file)), path.basename(file));
    const open = readlinkSync('/proc/self/fd/1');
    return path.dirname(open) === path.dirname(log) && open.startsWith(log);
  } catch {
    return false;
  }
}
