import { ThinError } from '../errors/thin-error.js';
import { describeKey, rangeOf, unpackKey } from '../format/keys.js';
import { unseal } from '../format/seal.js';
import type { KvReader } from '../store/key-value.js';
import { RemoteTable } from './remote-table.js';

/**
 * What a store says of remote chunks. What is damaged of it is told, and shows where its chunks are needed.
 * @throws ThinError wrong-version
 */
export async function readRemote(
  store: KvReader,
  onDamage: (error: ThinError, key: Uint8Array) => void,
): Promise<RemoteTable> {
  const table = new RemoteTable();
  // The sheets first: an image is there as long as they name it.
  for (const kind of ['remote-sheet', 'remote-image'] as const)
    for await (const [key, value] of store.entries(rangeOf(kind))) {
      const path = describeKey(key);
      const id = unpackKey(kind, key);
      try {
        if (id === undefined) throw new ThinError('damaged', `${path}: a pool has no such key`);
        if (kind === 'remote-sheet') readSheet(table, id, value, path);
        else table.loadImage(id, unseal(kind, id, value, path), path);
      } catch (error) {
        if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
        onDamage(error, key);
      }
    }
  return table;
}

function readSheet(table: RemoteTable, sheet: number, value: Uint8Array, path: string): void {
  let body;
  try {
    body = unseal('remote-sheet', sheet, value, path);
  } catch (error) {
    table.noteDamaged(sheet);
    throw error;
  }
  table.loadSheet(sheet, body, path);
}
