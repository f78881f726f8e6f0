import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { chunkId } from '../../../src/format/ids.js';
import { chunkKey } from '../../../src/format/keys.js';
import type { KvOperation } from '../../../src/store/key-value.js';
import { openLevelStore } from '../../../src/store/level-store.js';
import type { Scale } from '../run.js';
import type { OpenTarget, Target } from './target.js';

const CHUNK = 64 * 1024;
const BATCH = 4 * 2 ** 20;

/** What a `leveldb` pool's chunks cost LevelDB itself, with the pool's own tuning. */
export const LEVEL: Target = {
  name: 'level',
  description: 'LevelDB alone: synced batches of 4 MiB of fresh 64 KiB values, as a `leveldb` pool tunes it',
  needs: [],
  only: { jobs: ['seq-large'], round: 'last' },
  open: ({ folder }) => Promise.resolve<OpenTarget>({ device: () => '', batches: (to) => write(folder, to) }),
};

async function write(folder: string, { large, largeSeconds = Infinity }: Scale): Promise<number> {
  const store = await openLevelStore(path.join(folder, 'store'), { createIfMissing: true });
  try {
    // Random bytes at any place of a larger store of them: making them would be half of the time.
    const bytes = new Uint8Array(randomBytes(2 * BATCH));
    const began = performance.now();
    let written = 0;
    const isLate = (): boolean => performance.now() - began > largeSeconds * 1000;
    for (; written < large && !isLate(); written += BATCH) {
      const operations: KvOperation[] = [];
      for (let at = 0; at < BATCH; at += CHUNK) {
        const from = (at + (written / BATCH) * 61) % BATCH;
        const key = chunkKey(chunkId((written + at) / CHUNK));
        operations.push({ type: 'put', key, value: bytes.subarray(from, from + CHUNK) });
      }
      await store.batch(operations, { sync: true });
    }
    return written / 1000 / (performance.now() - began);
  } finally {
    await store.close();
  }
}
