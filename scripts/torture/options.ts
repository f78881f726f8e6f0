import { parseArgs } from 'node:util';
import type { TransportKind } from '../../src/fuse/transport.js';
import type { PoolKind } from '../../src/pool/info.js';
import type { DiskFilesystem } from './power-machine.js';

export interface TortureOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly pool: PoolKind;
  readonly transport: TransportKind;
  /** Cuts the power of a disk with this filesystem; undefined: kills the daemon. */
  readonly power?: DiskFilesystem | undefined;
}

const FILESYSTEMS: readonly DiskFilesystem[] = ['ext4', 'xfs'];
const POOLS: readonly PoolKind[] = ['leveldb', 'direct'];
const TRANSPORTS: readonly TransportKind[] = ['kernel', 'fuse-native'];

/** @throws Error that names the option that is wrong. */
export function parseOptions(args: readonly string[]): TortureOptions {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { ...text, default: '30' },
      seed: { ...text, default: String(Date.now() % 2 ** 31) },
      pool: { ...text, default: 'leveldb' },
      transport: { ...text, default: 'kernel' },
      power: text,
    },
  });
  return {
    rounds: whole('--rounds', values.rounds, 1),
    seed: whole('--seed', values.seed, 0),
    pool: oneOf('--pool', values.pool, POOLS),
    transport: oneOf('--transport', values.transport, TRANSPORTS),
    ...(values.power !== undefined && { power: oneOf('--power', values.power, FILESYSTEMS) }),
  };
}

function whole(option: string, text: string, least: number): number {
  const number = Number(text);
  if (!/^\d+$/.test(text) || number < least || number >= 2 ** 31)
    throw new Error(`${option} ${text}: a whole number of at least ${least}, below 2^31, is needed`);
  return number;
}

function oneOf<T extends string>(option: string, text: string, known: readonly T[]): T {
  const found = known.find((one) => one === text);
  if (found === undefined) throw new Error(`${option} ${text}: choose from ${known.join(', ')}`);
  return found;
}
