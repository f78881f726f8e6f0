import { ThinError } from '../errors/thin-error.js';
import { unpackDeviceRecord, type DeviceRecord } from '../format/device-record.js';
import { deviceId } from '../format/ids.js';
import { describeKey, rangeOf, unpackKey } from '../format/keys.js';
import { unseal } from '../format/seal.js';
import type { Superblock } from '../format/superblock.js';
import { readSuperblock } from '../metadata/open-metadata.js';
import type { KvReader } from '../store/key-value.js';
import type { PoolOptions } from './info.js';
import { readOptions } from './options-record.js';

/** What of a pool's records can be read, whatever else is wrong with it. */
export interface Salvaged {
  readonly superblock: Superblock | undefined;
  readonly options: PoolOptions | undefined;
  /** Ascending by id. */
  readonly devices: readonly DeviceRecord[];
  readonly lost: readonly { readonly path: string; readonly problem: string }[];
}

/** @throws what the store throws but `damaged`; wrong-version: a newer thinfuse wrote it */
export async function salvageRecords(store: KvReader): Promise<Salvaged> {
  const lost: { path: string; problem: string }[] = [];
  const guard = <T>(path: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ThinError) || (error.code !== 'damaged' && error.code !== 'no-pool'))
        throw error;
      lost.push({ path, problem: error.message });
      return undefined;
    }
  };
  const superblock = guard('superblock', () => readSuperblock(store));
  const options = guard('options', () => readOptions(store));
  const devices: DeviceRecord[] = [];
  for await (const [key, value] of store.entries(rangeOf('device'))) {
    const path = describeKey(key);
    const id = unpackKey('device', key);
    if (id === undefined) continue;
    const record = guard(path, () =>
      unpackDeviceRecord(deviceId(id), unseal('device', id, value, path), path),
    );
    if (record !== undefined) devices.push(record);
  }
  return { superblock, options, devices, lost };
}
