import fc from 'fast-check';
import type { BuiltDevice } from './legacy-metadata.js';

/** What somebody did to a thin pool. Devices and blocks by number, modulo how many there are. */
export type PoolStep =
  | { readonly do: 'create' }
  | { readonly do: 'snapshot'; readonly device: number }
  | { readonly do: 'delete'; readonly device: number }
  | { readonly do: 'write'; readonly device: number; readonly block: number }
  | { readonly do: 'discard'; readonly device: number; readonly block: number };

const index = fc.nat({ max: 50 });

export const poolSteps: fc.Arbitrary<readonly PoolStep[]> = fc.array(
  fc.oneof(
    { arbitrary: fc.constant<PoolStep>({ do: 'create' }), weight: 1 },
    { arbitrary: index.map((device): PoolStep => ({ do: 'snapshot', device })), weight: 4 },
    { arbitrary: index.map((device): PoolStep => ({ do: 'delete', device })), weight: 1 },
    {
      arbitrary: fc.tuple(index, index).map(([device, block]): PoolStep => ({ do: 'write', device, block })),
      weight: 20,
    },
    {
      arbitrary: fc
        .tuple(index, index)
        .map(([device, block]): PoolStep => ({ do: 'discard', device, block })),
      weight: 2,
    },
  ),
  { maxLength: 120, size: 'max' },
);

interface Device {
  readonly id: number;
  readonly creationTime: number;
  snapTime: number;
  readonly mappings: Map<number, { readonly data: number; readonly time: number }>;
}

/**
 * dm-thin's own rules (dm-thin-metadata.c): a snapshot moves the clock on and shares every block; a write to
 * a shared block goes to a new one. `frozen`: which devices nobody writes to once there is a snapshot;
 * 'origins' as under Docker, 'snapshots' as in backups with LVM, where nothing is discarded either.
 */
export function playPool(
  steps: readonly PoolStep[],
  blocks: number,
  frozen: 'origins' | 'snapshots' | 'none',
): { readonly devices: readonly BuiltDevice[]; readonly dataBlocks: number } {
  const devices: Device[] = [{ id: 1, creationTime: 0, snapTime: 0, mappings: new Map() }];
  const closed = new Set<number>();
  let time = 0;
  let nextData = 0;
  let nextId = 2;
  for (const step of steps) {
    if (step.do === 'create') {
      devices.push({ id: nextId++, creationTime: time, snapTime: time, mappings: new Map() });
      continue;
    }
    const device = devices[step.device % devices.length];
    if (device === undefined) continue;
    if (step.do === 'snapshot') {
      time++;
      device.snapTime = time;
      if (frozen === 'origins') closed.add(device.id);
      if (frozen === 'snapshots') closed.add(nextId);
      devices.push({ id: nextId++, creationTime: time, snapTime: time, mappings: new Map(device.mappings) });
    } else if (step.do === 'delete') {
      // Docker keeps what others start from.
      if (devices.length > 1 && (frozen !== 'origins' || !closed.has(device.id)))
        devices.splice(devices.indexOf(device), 1);
    } else if (!closed.has(device.id)) {
      const block = step.block % blocks;
      const mapped = device.mappings.get(block);
      if (step.do === 'discard') {
        if (frozen !== 'snapshots') device.mappings.delete(block);
      } else if (mapped === undefined || mapped.time < device.snapTime)
        device.mappings.set(block, { data: nextData++, time });
    }
  }
  return { devices, dataBlocks: Math.max(1, nextData) };
}
