import type { Exec } from './exec.js';

/** Bytes of a file. */
interface Range {
  readonly offset: number;
  readonly length: number;
}

/**
 * fallocate(2) with FALLOC_FL_PUNCH_HOLE, through xfs_io (xfsprogs), which takes any number of ranges at once
 * and any filesystem.
 */
export class HolePuncher {
  readonly #exec: Exec;

  constructor(exec: Exec) {
    this.#exec = exec;
  }

  /** Errors: missing-tool, tool-failed (the filesystem has no holes). */
  async punch(file: string, ranges: readonly Range[]): Promise<void> {
    if (ranges.length === 0) return;
    const input = ranges.map(({ offset, length }) => `fpunch ${offset} ${length}\n`).join('');
    await this.#exec.run('xfs_io', [file], { input });
  }
}
