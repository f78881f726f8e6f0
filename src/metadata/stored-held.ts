import { Pace } from '../async/pace.js';
import { damage } from '../format/damage.js';
import type { DeviceRecord } from '../format/device-record.js';
import type { NodeId } from '../format/ids.js';
import { describeKey, heldPieceKey, metadataSnapshotKey, rangeOf, unpackKey } from '../format/keys.js';
import {
  unpackHeldPiece,
  unpackMetadataSnapshot,
  type MetadataSnapshot,
  type ReadSnapshot,
} from '../format/metadata-snapshot.js';
import { sealVersion, unseal } from '../format/seal.js';
import type { KvReader } from '../store/key-value.js';

/** Whatever it is: whole or not. Undefined: there is none. @throws ThinError damaged, wrong-version */
export function readHeld(store: KvReader, id: number): ReadSnapshot | undefined {
  const key = metadataSnapshotKey(id);
  const bytes = store.getSync(key);
  return bytes && readHeldValue(id, bytes, describeKey(key));
}

/** @throws ThinError damaged, wrong-version; both name `path` */
export function readHeldValue(id: number, bytes: Uint8Array, path: string): ReadSnapshot {
  const body = unseal('metadata-snapshot', id, bytes, path);
  return unpackMetadataSnapshot(id, body, path, sealVersion(bytes, 0));
}

/** Of version 1: of its records, read in turns of the event loop. @throws ThinError damaged */
export async function heldRoots({ records }: ReadSnapshot): Promise<readonly NodeId[]> {
  const pace = new Pace();
  const roots: NodeId[] = [];
  for (const { root } of records) {
    roots.push(root);
    await pace.pause();
  }
  return roots;
}

/**
 * The number of the one that was reserved last; undefined where there is none.
 * @throws ThinError damaged, wrong-version
 */
export async function newestHeld(store: KvReader): Promise<number | undefined> {
  let newest: number | undefined;
  for await (const [key, value] of store.entries(rangeOf('metadata-snapshot'))) {
    const id = unpackKey('metadata-snapshot', key);
    if (id !== undefined && readHeldValue(id, value, describeKey(key)).snapshot.isWhole) newest = id;
  }
  return newest;
}

/** Its devices, ascending by id, read in turns of the event loop. @throws ThinError damaged, wrong-version */
export async function readHeldDevices(
  store: KvReader,
  { snapshot, records }: ReadSnapshot,
): Promise<readonly DeviceRecord[]> {
  const pace = new Pace();
  const devices: DeviceRecord[] = [];
  for (const record of records) {
    devices.push(record);
    await pace.pause();
  }
  const { first, count } = snapshot.pieces ?? { first: 0, count: 0 };
  for (let number = first; number < first + count; number++) {
    const key = heldPieceKey(number);
    const path = describeKey(key);
    const bytes = await store.get(key);
    if (bytes === undefined) throw damage(path, 'it is missing');
    const piece = unpackHeldPiece(unseal('held-piece', number, bytes, path), path);
    if (piece.snapshot !== snapshot.id)
      throw damage(path, `it is of metadata snapshot ${piece.snapshot}, not of ${snapshot.id}`);
    devices.push(...piece.records);
    await pace.pause();
  }
  // In nearly that order already: a device that changed while it was reserved stands earlier.
  return devices.sort((x, y) => x.id - y.id);
}

/** Which metadata snapshot each piece is of, and which pieces are not there. */
export class PieceOwners {
  readonly #owners: { readonly snapshot: MetadataSnapshot; seen: number; devices: number }[] = [];

  add(snapshot: MetadataSnapshot): void {
    if (snapshot.pieces !== undefined) this.#owners.push({ snapshot, seen: 0, devices: 0 });
  }

  /** The piece is there. @returns the number of the metadata snapshot that it is of */
  see(number: number, devices: number): number | undefined {
    const owner = this.#owners.find(({ snapshot: { pieces } }) => {
      const { first, count } = pieces!;
      return number >= first && number < first + count;
    });
    if (owner === undefined) return undefined;
    owner.seen++;
    owner.devices += devices;
    return owner.snapshot.id;
  }

  /** To be asked when all pieces were seen. */
  problems(): readonly { readonly id: number; readonly problem: string }[] {
    return this.#owners.flatMap(({ snapshot: { id, pieces, devices: said }, seen, devices }) => {
      const lost = pieces!.count - seen;
      if (lost > 0) return [{ id, problem: `${lost} of its ${pieces!.count} pieces are missing` }];
      return said === devices
        ? []
        : [{ id, problem: `it is said to have ${said} devices, and has ${devices}` }];
    });
  }
}
