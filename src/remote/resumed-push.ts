import { ThinError } from '../errors/thin-error.js';
import type { BlockSeal } from './block-seal.js';
import type { Blob } from './manifest.js';
import { PACK_FOOT, unpackFoot, unpackTable, type PackedBlock } from './pack.js';
import { unpackUseNote } from './push-note.js';
import type { RemoteStore } from './remote-store.js';

const PARALLEL = 8;

/**
 * Packs that pushes of the same device have put and no image has, and what lies in them: their tables say it.
 */
export async function* cutOffPushes(
  store: RemoteStore,
  source: string,
  seal: BlockSeal,
): AsyncGenerator<{ readonly pack: Blob; readonly blocks: readonly PackedBlock[] }> {
  for await (const { id } of store.notes('push')) {
    const bytes = await store.readNote('push', id);
    const note = bytes && unpackUseNote(bytes);
    if (note?.source !== source) continue;
    const packs = note.put.filter(({ kind }) => kind === 'pack');
    for (let at = 0; at < packs.length; at += PARALLEL) {
      const some = packs.slice(at, at + PARALLEL);
      const tables = await Promise.all(some.map((pack) => tableOf(store, pack, seal)));
      for (const [index, { digest, size }] of some.entries()) {
        const blocks = tables[index];
        if (blocks !== undefined) yield { pack: { digest, size }, blocks };
      }
    }
  }
}

/** Undefined: it is not there, or not of this key. */
async function tableOf(
  store: RemoteStore,
  { digest, size }: Blob,
  seal: BlockSeal,
): Promise<PackedBlock[] | undefined> {
  const path = `${store.url}: pack ${digest}`;
  try {
    const foot = await store.read('pack', digest, { offset: size - PACK_FOOT, length: PACK_FOOT });
    const place = unpackFoot(foot, size, path);
    return unpackTable(await store.read('pack', digest, place), place, seal, path);
  } catch (error) {
    if (error instanceof ThinError && (error.code === 'not-found' || error.code === 'damaged'))
      return undefined;
    throw error;
  }
}

/** Takes away what pushes of the device left behind whose process is gone: an image has what they put. */
export async function clearCutOffPushes(
  store: RemoteStore,
  source: string,
  isGone: (maker: string) => Promise<boolean>,
): Promise<void> {
  for await (const { id } of store.notes('push')) {
    const bytes = await store.readNote('push', id);
    const note = bytes && unpackUseNote(bytes);
    if (note?.source === source && (await isGone(note.maker))) await store.removeNote('push', id);
  }
}
