import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLevelStore } from '../../src/store/level-store.js';
import { keyValueContract } from '../../src/testing/key-value-contract.js';
import { CrashStore } from '../support/crash-store.js';
import { MemoryStore } from '../support/memory-store.js';

describe('stores', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'thinfuse-kv-'));
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  const runner = { describe, it, beforeEach, afterEach };
  keyValueContract(runner, 'memory store', async () => new MemoryStore());
  keyValueContract(runner, 'crash store', async () => new CrashStore());
  keyValueContract(runner, 'level store', () =>
    openLevelStore(join(folder, 'store'), { createIfMissing: true }),
  );
});
