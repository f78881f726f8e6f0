import { copyFileSync, mkdtempSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { OpenPoolOptions } from '../../src/pool/open-options.js';

/** A file for the chunks of a `direct` pool, in a folder of its own. */
export class ScratchData {
  readonly #folder: string;
  readonly #size: number;

  private constructor(folder: string, size: number) {
    this.#folder = folder;
    this.#size = size;
  }

  /** @param size in bytes */
  static async make(size: number): Promise<ScratchData> {
    return new ScratchData(await mkdtemp(path.join(tmpdir(), 'thinfuse-test-')), size);
  }

  /** As `openPool` takes it; the pool closes it. What it held stays. */
  async open(): Promise<NonNullable<OpenPoolOptions['data']>> {
    const handle = await open(path.join(this.#folder, 'data'), 'a+').then(async (made) => {
      await made.truncate(this.#size);
      await made.close();
      return open(path.join(this.#folder, 'data'), 'r+');
    });
    return { handle };
  }

  /** Another file with what this one holds at this moment. */
  fork(): ScratchData {
    const folder = mkdtempSync(path.join(tmpdir(), 'thinfuse-test-'));
    copyFileSync(path.join(this.#folder, 'data'), path.join(folder, 'data'));
    return new ScratchData(folder, this.#size);
  }

  async remove(): Promise<void> {
    await rm(this.#folder, { recursive: true });
  }
}
