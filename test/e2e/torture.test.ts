import { mkdir } from 'node:fs/promises';
import { runCampaign } from '../../scripts/torture/campaign.js';
import type { TransportKind } from '../../src/fuse/transport.js';
import type { PoolKind } from '../../src/pool/info.js';
import { CLI_COMMAND } from '../support/cli.js';
import { requireMounts, useScratch } from '../support/mounts.js';

/** Of cuts of the power; each takes a filesystem that starts again. */
const CUTS = Number(process.env['THINFUSE_TORTURE_CUTS'] ?? 1);
/** A taste of scripts/torture.sh, which runs hundreds. */
const ROUNDS = Number(process.env['THINFUSE_TORTURE_ROUNDS'] ?? 8);
const COMBINATIONS: readonly (readonly [PoolKind, TransportKind])[] = [
  ['leveldb', 'kernel'],
  ['direct', 'kernel'],
  ['leveldb', 'fuse-native'],
  ['direct', 'fuse-native'],
];

describe('a disk that loses its power under a pool', () => {
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'fstrim', 'fsfreeze', 'losetup']);
  const scratch = useScratch();

  for (const [pool, power] of [
    ['leveldb', 'ext4'],
    ['direct', 'xfs'],
  ] as const)
    it(`loses nothing that was synced (${pool}, on ${power})`, async function () {
      this.timeout(120_000 + 120_000 * CUTS);
      const folder = scratch.current.at(`${pool}-power`);
      await mkdir(folder);
      const seed = Date.now() % 2 ** 31;
      const options = { rounds: CUTS, seed, pool, power, transport: 'kernel' as const, folder };
      try {
        await runCampaign({ ...options, cli: CLI_COMMAND, tell: () => undefined });
      } catch (error) {
        throw new Error(`with seed ${seed}: ${error}`, { cause: error });
      }
    });
});

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
