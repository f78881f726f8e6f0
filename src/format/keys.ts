import type { ChunkId, DeviceId, NodeId } from './ids.js';

/**
 * key := 's'                superblock
 *      | 'o'                options
 *      | 'k'                number of the last commit
 *      | 'l'                state of the log
 *      | 'n' node:u32       tree node
 *      | 'm' sheet:u32       sheet of the chunk space map
 *      | 'p' sheet:u32       sheet of the node space map
 *      | 'd' device:u32     device record
 *      | 'x' device:u32     pending delete
 *      | 'h' snapshot:u32   metadata snapshot
 *      | 'g' piece:u32      records of a metadata snapshot
 *      | 'b' chunk:u32      backing of a partial chunk
 *      | 'c' chunk:u32      chunk (leveldb pools)
 *      | 'e' chunk:u32      patch of a chunk (leveldb pools)
 *      | 'r' sheet:u32       which chunks are remote (remote-sheet.ts)
 *      | 'i' image:u32      image in a store that remote chunks are of (remote-image.ts)
 *
 * Numbers are big-endian, so keys sort as numbers do.
 */
const TAGS = {
  superblock: 's',
  options: 'o',
  commit: 'k',
  'log-state': 'l',
  node: 'n',
  'chunk-map-sheet': 'm',
  'node-map-sheet': 'p',
  device: 'd',
  'pending-delete': 'x',
  'metadata-snapshot': 'h',
  'held-piece': 'g',
  'chunk-backing': 'b',
  chunk: 'c',
  'chunk-patch': 'e',
  'remote-sheet': 'r',
  'remote-image': 'i',
} as const;
export type KeyKind = keyof typeof TAGS;
/** Of which there is one. */
type SingleKeyKind = 'superblock' | 'options' | 'commit' | 'log-state';
export type NumberedKeyKind = Exclude<KeyKind, SingleKeyKind>;

const SINGLE_NAMES: Record<SingleKeyKind, string> = {
  superblock: 'superblock',
  options: 'options',
  commit: 'commit number',
  'log-state': 'log state',
};

/** Whether there is one of the kind. */
export function isSingle(kind: KeyKind): kind is SingleKeyKind {
  return kind in SINGLE_NAMES;
}

const KIND_OF_TAG = new Map(Object.entries(TAGS).map(([kind, tag]) => [tag.charCodeAt(0), kind as KeyKind]));

export const superblockKey: Uint8Array = Uint8Array.of(TAGS.superblock.charCodeAt(0));
export const optionsKey: Uint8Array = Uint8Array.of(TAGS.options.charCodeAt(0));
export const commitKey: Uint8Array = Uint8Array.of(TAGS.commit.charCodeAt(0));
export const logKey: Uint8Array = Uint8Array.of(TAGS['log-state'].charCodeAt(0));

function numberedKey(kind: NumberedKeyKind, id: number): Uint8Array {
  const key = new Uint8Array(5);
  key[0] = TAGS[kind].charCodeAt(0);
  new DataView(key.buffer).setUint32(1, id);
  return key;
}

export const nodeKey = (node: NodeId): Uint8Array => numberedKey('node', node);
export const chunkKey = (chunk: ChunkId): Uint8Array => numberedKey('chunk', chunk);
export const chunkBackingKey = (chunk: ChunkId): Uint8Array => numberedKey('chunk-backing', chunk);
export const chunkPatchKey = (chunk: ChunkId): Uint8Array => numberedKey('chunk-patch', chunk);
export const chunkMapKey = (sheet: number): Uint8Array => numberedKey('chunk-map-sheet', sheet);
export const nodeMapKey = (sheet: number): Uint8Array => numberedKey('node-map-sheet', sheet);
export const deviceKey = (device: DeviceId): Uint8Array => numberedKey('device', device);
export const metadataSnapshotKey = (snapshot: number): Uint8Array =>
  numberedKey('metadata-snapshot', snapshot);
export const heldPieceKey = (piece: number): Uint8Array => numberedKey('held-piece', piece);
export const remoteSheetKey = (sheet: number): Uint8Array => numberedKey('remote-sheet', sheet);
export const remoteImageKey = (image: number): Uint8Array => numberedKey('remote-image', image);
export const pendingDeleteKey = (device: DeviceId): Uint8Array => numberedKey('pending-delete', device);

/** The number in a key, or undefined when it is not such a key. */
export function unpackKey(kind: NumberedKeyKind, key: Uint8Array): number | undefined {
  if (key.length !== 5 || key[0] !== TAGS[kind].charCodeAt(0)) return undefined;
  return new DataView(key.buffer, key.byteOffset).getUint32(1);
}

/** The kind of a key or of the beginning of one; undefined for an unknown key. */
export function kindOf(key: Uint8Array): KeyKind | undefined {
  return key.length > 0 ? KIND_OF_TAG.get(key[0]!) : undefined;
}

/** Whether a pool could have such a key. */
export function isPoolKey(key: Uint8Array): boolean {
  const kind = kindOf(key);
  if (kind === undefined) return false;
  return key.length === (isSingle(kind) ? 1 : 5);
}

/** All keys of one kind. */
export function rangeOf(kind: KeyKind): { gte: Uint8Array; lt: Uint8Array } {
  const tag = TAGS[kind].charCodeAt(0);
  return { gte: Uint8Array.of(tag), lt: Uint8Array.of(tag + 1) };
}

/** How messages name a key: `chunk 17`, `superblock`; bytes in hex where it is none of ours. */
export function describeKey(key: Uint8Array): string {
  const kind = kindOf(key);
  if (kind !== undefined && isSingle(kind)) {
    if (key.length === 1) return SINGLE_NAMES[kind];
  } else if (kind !== undefined) {
    const id = unpackKey(kind, key);
    if (id !== undefined) return `${kind.replaceAll('-', ' ')} ${id}`;
  }
  return `key ${Buffer.from(key).toString('hex')}`;
}
