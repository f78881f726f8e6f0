import fc from 'fast-check';
import type { DeviceName } from '../../src/format/ids.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { NodeLimits } from '../../src/format/node.js';
import { openPool } from '../../src/pool/pool.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';
import { frozenMetadata } from '../../src/pool/pool-tools.js';
import type { KvReader } from '../../src/store/key-value.js';
import { dump, type DumpOptions } from '../../src/thin-tools/dump.js';
import { MemoryStore } from './memory-store.js';
import { BLOCK, makeSmallPool } from './small-pool.js';

/** Nodes so small that a few blocks make a tree of several levels. */
export const SMALL_NODES: NodeLimits = { leaf: 6, internal: 6 };
const DEVICE_BLOCKS = 96;

interface Step {
  readonly do: 'write' | 'discard' | 'snapshot' | 'remove';
  readonly device: number;
  readonly block: number;
  readonly length: number;
}

/** What may happen to a pool; devices are counted among those that are there. */
export const history: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.record({
    do: fc.oneof(
      { weight: 4, arbitrary: fc.constant('write' as const) },
      { weight: 1, arbitrary: fc.constant('discard' as const) },
      { weight: 2, arbitrary: fc.constant('snapshot' as const) },
      { weight: 1, arbitrary: fc.constant('remove' as const) },
    ),
    device: fc.nat(9),
    block: fc.nat(DEVICE_BLOCKS - 1),
    length: fc.integer({ min: 1, max: 24 }),
  }),
  { minLength: 1, maxLength: 24 },
);

/** A closed pool with that history. */
export async function poolOf(steps: readonly Step[]): Promise<MemoryStore> {
  const store = new MemoryStore();
  const pool = await makeSmallPool(store, {
    options: { baseSize: DEVICE_BLOCKS * BLOCK },
    open: { limits: SMALL_NODES },
  });
  const names: DeviceName[] = [BASE_NAME];
  let made = 0;
  for (const [index, step] of steps.entries()) {
    const name = names[step.device % names.length]!;
    if (step.do === 'snapshot') {
      const copy = `copy${made++}` as DeviceName;
      await pool.createSnapshot({ name: copy, origin: name, kind: 'snapshot' });
      names.push(copy);
    } else if (step.do === 'remove') {
      if (name === BASE_NAME) continue;
      await pool.deactivate(name);
      await pool.remove(name);
      names.splice(names.indexOf(name), 1);
    } else {
      const file = await pool.activate(name);
      const blocks = Math.min(step.length, DEVICE_BLOCKS - step.block);
      if (step.do === 'discard') await file.discard(step.block * BLOCK, blocks * BLOCK);
      else
        for (let at = step.block; at < step.block + blocks; at++)
          // So much that no copy is partial: bases are references that the kernel's tools know nothing of.
          await file.write(at * BLOCK, new Uint8Array(BLOCK / 2).fill((index % 255) + 1));
    }
  }
  await pool.settle();
  await pool.close();
  return store.reopen();
}

export function reopen(store: MemoryStore): Promise<ThinPool> {
  return openPool(store.reopen(), { commitInterval: 0, limits: SMALL_NODES });
}

/** First bytes of every block of every device, in hexadecimal, by name. */
export type Contents = ReadonlyMap<string, string>;

export async function contentsOf(store: MemoryStore): Promise<Contents> {
  const pool = await reopen(store);
  const contents = new Map<string, string>();
  for (const { name, size } of pool.devices()) {
    const file = await pool.activate(name);
    const found = Buffer.alloc(size / BLOCK);
    const into = new Uint8Array(512);
    for (let block = 0; block < found.length; block++) {
      await file.read(block * BLOCK, into);
      found[block] = into[0]!;
    }
    contents.set(name, found.toString('hex'));
  }
  await pool.close();
  return contents;
}

export async function dumpOf(store: KvReader, options: Partial<DumpOptions> = {}): Promise<string> {
  const frozen = frozenMetadata(store, { close: () => Promise.resolve(), limits: SMALL_NODES });
  const pieces = dump(await frozen.view(), { format: 'xml', ...options, poolOptions: frozen.options() });
  return textOf(pieces);
}

export async function textOf(pieces: AsyncIterable<string>): Promise<string> {
  let text = '';
  for await (const piece of pieces) text += piece;
  return text;
}
