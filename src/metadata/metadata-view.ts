import type { NodeLoader } from '../btree/node-source.js';
import { ThinError } from '../errors/thin-error.js';
import { unpackDeviceRecord, type DeviceRecord } from '../format/device-record.js';
import { deviceId, type NodeId } from '../format/ids.js';
import { nodeKey } from '../format/keys.js';
import { FULL_NODE, type NodeLimits, type TreeNode } from '../format/node.js';
import type { Superblock } from '../format/superblock.js';
import type { KvReader } from '../store/key-value.js';
import { readSuperblock, sealedValues } from './open-metadata.js';
import { newestHeld, readHeld, readHeldDevices } from './stored-held.js';
import { unpackStoredNode } from './stored-node.js';

/**
 * A pool's metadata as it was committed at one moment, to look at: a live pool's in a `KvSnapshot`, or a
 * closed one's store.
 */
export interface MetadataView {
  readonly superblock: Superblock;
  /** Ascending by id. */
  readonly devices: readonly DeviceRecord[];
  readonly nodes: NodeLoader;
}

/** The number of a metadata snapshot, or the one that was reserved last. */
export type HeldChoice = number | 'newest';

export interface ViewOptions {
  readonly limits?: NodeLimits | undefined;
  /** A metadata snapshot; undefined: the pool as it is. */
  readonly held?: HeldChoice | undefined;
}

/** @throws ThinError no-pool, not-found (the metadata snapshot), damaged, wrong-version */
export async function openView(store: KvReader, options: ViewOptions = {}): Promise<MetadataView> {
  const nodes = new StoredNodes(store, options.limits);
  if (options.held !== undefined) {
    return { ...(await readMetadataSnapshot(store, options.held)), nodes };
  }
  const superblock = readSuperblock(store);
  const devices: DeviceRecord[] = [];
  for await (const { id, body, path } of sealedValues(store, 'device'))
    devices.push(unpackDeviceRecord(deviceId(id), body, path));
  return { superblock, devices, nodes };
}

async function readMetadataSnapshot(
  store: KvReader,
  choice: HeldChoice,
): Promise<Pick<MetadataView, 'superblock' | 'devices'>> {
  const id = choice === 'newest' ? await newestHeld(store) : choice;
  if (id === undefined)
    throw new ThinError('not-found', 'no metadata snapshot is reserved; take one with: thinfuse reserve');
  const held = readHeld(store, id);
  if (held?.snapshot.isWhole !== true)
    throw new ThinError('not-found', `there is no metadata snapshot ${id}; thinfuse reserved lists them`, {
      details: { snapshot: id },
    });
  return { superblock: held.snapshot.superblock, devices: await readHeldDevices(store, held) };
}

/** Every node is read from the store when it is asked for, and none is kept. */
export class StoredNodes implements NodeLoader {
  readonly #store: KvReader;
  readonly #limits: NodeLimits;

  constructor(store: KvReader, limits: NodeLimits = FULL_NODE) {
    this.#store = store;
    this.#limits = limits;
  }

  async load(id: NodeId): Promise<TreeNode> {
    return unpackStoredNode(id, await this.#store.get(nodeKey(id)), this.#limits);
  }
}

/** A device by its name or its number. @throws ThinError not-found */
export function deviceIn(view: Pick<MetadataView, 'devices'>, nameOrId: string): DeviceRecord {
  const found =
    view.devices.find(({ name }) => name === nameOrId) ??
    (/^\d+$/.test(nameOrId) ? view.devices.find(({ id }) => id === Number(nameOrId)) : undefined);
  if (found === undefined)
    throw new ThinError(
      'not-found',
      `there is no device ${nameOrId}, neither by name nor by number; thinfuse ls lists them`,
      { details: { device: nameOrId } },
    );
  return found;
}
