import { stat } from 'node:fs/promises';
import type { Exec } from './exec.js';
import { HolePuncher } from './hole-puncher.js';

/** Tells a file or a block device which of its bytes are not needed. */
export class Discarder {
  readonly #exec: Exec;

  constructor(exec: Exec) {
    this.#exec = exec;
  }

  /** Errors: missing-tool, tool-failed (the device or filesystem takes no discards). */
  async discard(
    path: string,
    ranges: readonly { readonly offset: number; readonly length: number }[],
  ): Promise<void> {
    if (!(await stat(path)).isBlockDevice()) {
      await new HolePuncher(this.#exec).punch(path, ranges);
      return;
    }
    for (const { offset, length } of ranges)
      await this.#exec.run('blkdiscard', ['--offset', `${offset}`, '--length', `${length}`, path]);
  }
}
