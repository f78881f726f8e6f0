import type { Snapshot, SnapshotIndex } from './snapshot-index.js';
import { REF } from './asked.js';
import { unpackSnapshotRecord, type SnapshotRecord } from './snapshot-record.js';

const CHAIN_ID = /^sha256:[0-9a-f]{64}$/;
/** Begins the key of a layer that was not unpacked under its snapshotter's name. */
export const LENT = 'thinfuse/';

/** More layers than an image can have. */
const DEEPEST = 1000;

/**
 * The chain id of a committed layer (OCI image-spec config.md, "Layer ChainID"), which names its content and
 * that of all below it: containerd's unpacker gives it as a label, and commits under it. Undefined: the
 * snapshot is no layer of an image.
 */
export function chainIdOf({ key, kind, labels }: SnapshotRecord): string | undefined {
  if (kind !== 'committed') return undefined;
  // Keys have a namespace and a number in front.
  const id = labels[REF] ?? key.slice(key.lastIndexOf('/') + 1);
  return CHAIN_ID.test(id) ? id : undefined;
}

/** Chain ids from the snapshot down to its lowest layer; undefined where one of them is no layer. */
export function lineageOf(index: SnapshotIndex, top: SnapshotRecord): readonly string[] | undefined {
  const ids: string[] = [];
  for (let record: SnapshotRecord | undefined = top; ids.length < DEEPEST;) {
    const id = record === undefined ? undefined : chainIdOf(record);
    if (record === undefined || id === undefined) return undefined;
    ids.push(id);
    if (record.parent === '') return ids;
    record = index.find(record.snapshotter ?? '', record.parent)?.record;
  }
  return undefined;
}

/**
 * A committed snapshot, under whatever name, that holds the layer `ref` on top of what `above` holds: the
 * chain ids of both are the same down to the lowest layer.
 */
export function sameLayer(
  index: SnapshotIndex,
  ref: string,
  above: SnapshotRecord | undefined,
): readonly Snapshot[] {
  const below = above === undefined ? [] : lineageOf(index, above);
  if (below === undefined) return [];
  const wanted = [ref, ...below].join(' ');
  return index.layers(ref).filter(({ record }) => lineageOf(index, record)?.join(' ') === wanted);
}

/**
 * Whether the filesystem of `top` came from that of the committed snapshot `below` of the same name by
 * snapshots of devices alone; what is below an empty name is an empty filesystem. A layer that was made under
 * another name (`LENT`) stands on what is below it there.
 */
export function isMadeFrom(index: SnapshotIndex, top: SnapshotRecord, below: string): boolean {
  for (
    let record: SnapshotRecord | undefined = top, depth = 0;
    record !== undefined && depth < DEEPEST;
    depth++
  ) {
    if (record.key === below) return true;
    if (record.key.startsWith(LENT)) return false;
    if (record.parent === '') return below === '';
    record = index.find(record.snapshotter ?? '', record.parent)?.record;
  }
  return false;
}

/**
 * Of each chain id, from the lowest layer on, a committed snapshot, all under one name, each on top of the
 * one before. Undefined: the pool does not have all of them.
 * @param only the device that the topmost has to be
 */
export function unpackedChain<D extends { readonly name: string; readonly label: string }>(
  devices: readonly D[],
  chain: readonly string[],
  only?: string,
): readonly { readonly device: D; readonly record: SnapshotRecord }[] | undefined {
  const all = devices.flatMap((device) => {
    const record = unpackSnapshotRecord(device.label, device.name);
    return record?.kind === 'committed' ? [{ device, record }] : [];
  });
  const byKey = new Map(all.map((each) => [keyOf(each.record, each.record.key), each]));
  for (const top of all) {
    if (only !== undefined && top.device.name !== only) continue;
    const found = [];
    let next: (typeof all)[number] | undefined = top;
    for (const id of chain.toReversed()) {
      if (next === undefined || chainIdOf(next.record) !== id) break;
      found.unshift(next);
      next = byKey.get(keyOf(next.record, next.record.parent));
    }
    if (found.length === chain.length && found[0]?.record.parent === '') return found;
  }
  return undefined;
}

function keyOf({ snapshotter }: SnapshotRecord, key: string): string {
  return JSON.stringify([snapshotter, key]);
}
