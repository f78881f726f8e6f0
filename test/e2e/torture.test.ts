import { mkdir } from 'node:fs/promises';
import { runCampaign } from '../../scripts/torture/campaign.js';
import type { TransportKind } from '../../src/fuse/transport.js';
import type { PoolKind } from '../../src/pool/info.js';
import { CLI_COMMAND } from '../support/cli.js';
import { requireMounts, useScratch } from '../support/mounts.js';

/** A taste of scripts/torture.sh, which runs hundreds. */
const ROUNDS = Number(process.env['THINFUSE_TORTURE_ROUNDS'] ?? 8);
const COMBINATIONS: readonly (readonly [PoolKind, TransportKind])[] = [
  ['leveldb', 'kernel'],
  ['direct', 'kernel'],
  ['leveldb', 'fuse-native'],
  ['direct', 'fuse-native'],
];

describe('a daemon that is killed under load', () => {
  requireMounts(['mkfs.xfs', 'fstrim', 'fsfreeze']);
  const scratch = useScratch();

  for (const [pool, transport] of COMBINATIONS)
    it(`loses nothing that was synced (${pool}, ${transport})`, async function () {
      this.timeout(60_000 + 60_000 * ROUNDS);
      const folder = scratch.current.at(`${pool}-${transport}`);
      await mkdir(folder);
      const seed = Date.now() % 2 ** 31;
      try {
        await runCampaign({
          rounds: ROUNDS,
          seed,
          pool,
          transport,
          folder,
          cli: CLI_COMMAND,
          tell: () => undefined,
        });
      } catch (error) {
        throw new Error(`with seed ${seed}: ${error}`, { cause: error });
      }
    });
});
