import { createHash, randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { ThinError } from '../../errors/thin-error.js';
import { readAttribute } from '../../host/attributes.js';
import type { Exec } from '../../host/exec.js';
import { FileTree, type Bytes } from '../../host/file-tree.js';
import { compressed, compressionOf, gathered } from './compression.js';
import { ContentStore, type BlobWriter } from './content-store.js';
import { inodePlaces, RangeIndex, type InodePlaces } from './inode-places.js';
import type { LayerBlob, LayerSide, LayerTask } from './layer-task.js';
import { LayerWriter } from './layer-writer.js';
import { TreeChanges, type TreeChange } from './tree-changes.js';

const CAPABILITY = 'security.capability';
/** containerd's label of a compressed layer's diff id (core/images/labels.go). */
const UNCOMPRESSED = 'containerd.io/uncompressed';
const PIECE = 256 * 1024;

type Capabilities = ReadonlyMap<Bytes, Uint8Array>;

/**
 * Compares the two sides, and writes what changed as a layer into containerd's content store. Errors: those
 * of `ContentStore`, `FileTree`, `readAttribute` and `LayerWriter`; closed (`signal`).
 */
export async function makeLayer(exec: Exec, task: LayerTask, signal: AbortSignal): Promise<LayerBlob> {
  const how = compressionOf(task.mediaType);
  const { changes, capabilities } = await compare(exec, task);
  const store = await ContentStore.reach(task.containerd, task.scope);
  try {
    const ref = task.ref === '' ? `thinfuse-diff-${randomUUID()}` : task.ref;
    const writer = await store.write(ref);
    try {
      const tar = new LayerWriter(new FileTree(exec, task.after.root), { capabilities, epoch: task.epoch });
      const plain = createHash('sha256');
      const packed = createHash('sha256');
      const pieces = hashed(tar.write(changes), plain);
      for await (const piece of gathered(compressed(pieces, how), PIECE)) {
        if (signal.aborted) throw new ThinError('closed', 'the caller no longer waits for the layer');
        packed.update(piece);
        await writer.add(piece);
      }
      const diffId = `sha256:${plain.digest('hex')}`;
      return await stored(store, writer, task, { digest: `sha256:${packed.digest('hex')}`, diffId });
    } catch (error) {
      writer.close();
      if (task.ref === '') await store.abort(ref).catch(() => undefined);
      throw error;
    } finally {
      writer.close();
    }
  } finally {
    store.close();
  }
}

async function stored(
  store: ContentStore,
  writer: BlobWriter,
  { mediaType, labels }: LayerTask,
  { digest, diffId }: { readonly digest: string; readonly diffId: string },
): Promise<LayerBlob> {
  const isPacked = digest !== diffId;
  await writer.commit(digest, isPacked ? { ...labels, [UNCOMPRESSED]: diffId } : labels);
  const info = await store.info(digest);
  // It may have been there before, without the label.
  if (isPacked && info.labels[UNCOMPRESSED] === undefined) await store.setLabel(digest, UNCOMPRESSED, diffId);
  return { mediaType, digest, size: Number(info.size) };
}

/** What the layer has, and the capabilities of its files. */
async function compare(
  exec: Exec,
  { before, after, changed }: LayerTask,
): Promise<{ readonly changes: readonly TreeChange[]; readonly capabilities: Capabilities }> {
  const places = before === undefined ? undefined : await commonPlaces(before, after);
  const index = places === undefined || changed === undefined ? undefined : new RangeIndex(changed);
  const comparison = new TreeChanges(
    before === undefined ? undefined : new FileTree(exec, before.root),
    new FileTree(exec, after.root),
    (inode) => {
      const byte = places?.of(inode);
      return index === undefined || byte === undefined || index.has(byte);
    },
  );
  const found = [...comparison.all()];
  const undecided = found.filter(({ kind }) => kind === 'undecided').map(({ path }) => path);
  const written = found.filter(({ kind }) => kind !== 'deleted').map(({ path }) => path);
  const old =
    before === undefined ? undefined : await readAttribute(exec, before.root, CAPABILITY, undecided);
  const capabilities = await readAttribute(exec, after.root, CAPABILITY, written);
  const changes = found.flatMap((change): readonly TreeChange[] => {
    if (change.kind !== 'undecided') return [change];
    const { path, stats } = change;
    if (!sameBytes(old?.get(path), capabilities.get(path)) || comparison.contentsDiffer(change))
      return [{ kind: 'changed', path, stats }];
    return !stats.isDirectory() && stats.nlink > 1n ? [{ kind: 'same', path, stats }] : [];
  });
  return { changes, capabilities };
}

/** Where both keep their inodes; undefined: at different places. */
async function commonPlaces(before: LayerSide, after: LayerSide): Promise<InodePlaces | undefined> {
  const [left, right] = [await placesIn(before.image), await placesIn(after.image)];
  return left?.geometry === right?.geometry ? right : undefined;
}

async function placesIn(image: string): Promise<InodePlaces | undefined> {
  const device = await open(image);
  try {
    return await inodePlaces(device);
  } finally {
    await device.close();
  }
}

function sameBytes(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : Buffer.from(a).equals(b);
}

function* hashed(pieces: Iterable<Uint8Array>, hash: ReturnType<typeof createHash>): Generator<Uint8Array> {
  for (const piece of pieces) {
    hash.update(piece);
    yield piece;
  }
}
