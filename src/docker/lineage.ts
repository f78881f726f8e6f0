import type { DeviceId } from '../format/ids.js';
import type { ListedDevice } from './listed-device.js';

/** A device among its snapshots, or the place of an origin that is gone. */
export interface LineageNode {
  readonly id: DeviceId;
  readonly name: string;
  /** Undefined: removed; its snapshots keep its data. */
  readonly device: ListedDevice | undefined;
  readonly children: readonly LineageNode[];
}

interface Growing extends LineageNode {
  readonly children: Growing[];
}

/**
 * The devices as trees by origin, ascending by device id. Where a removed origin came from is not known, so
 * it is a root.
 */
export function lineage(devices: readonly ListedDevice[]): readonly LineageNode[] {
  const sorted = [...devices].sort((a, b) => a.id - b.id);
  const nodes = new Map<DeviceId, Growing>();
  for (const device of sorted)
    nodes.set(device.id, { id: device.id, name: device.name, device, children: [] });
  const roots: Growing[] = [];
  for (const { id, origin, originName } of sorted) {
    const node = nodes.get(id)!;
    if (origin === undefined) {
      roots.push(node);
      continue;
    }
    let parent = nodes.get(origin);
    if (parent === undefined) {
      parent = { id: origin, name: originName ?? `#${origin}`, device: undefined, children: [] };
      nodes.set(origin, parent);
      roots.push(parent);
    }
    parent.children.push(node);
  }
  return roots.sort((a, b) => a.id - b.id);
}
