import { BASE_NAME } from '../format/device-name.js';
import type { DeviceId, DeviceName, TransactionId } from '../format/ids.js';
import type { DeviceInfo, PoolInfo } from '../pool/info.js';

/** What the files are written from; a `ThinPool` is one. */
export interface ProjectionSource {
  info(): PoolInfo;
  devices(): readonly DeviceInfo[];
  lastTransaction():
    { readonly id: TransactionId; readonly name: DeviceName; readonly device: DeviceId } | undefined;
}

const DEVICESET_FILE = 'deviceset-metadata';
const TRANSACTION_FILE = 'transaction-metadata';

/**
 * The files of Docker's `metadata/` folder and their content, byte for byte as its driver wrote them (moby deviceset.go,
 * `saveMetadata`, `saveDeviceSetMetaData`, `saveTransactionMetaData`): compact JSON, keys in this order, no newline.
 * Nothing needs an escape: names hold no character that Go's encoder would escape.
 */
export function metadataFiles(source: ProjectionSource): ReadonlyMap<string, string> {
  const info = source.info();
  const files = new Map<string, string>();
  for (const device of source.devices()) {
    // What is not whole is nobody's to see.
    if (device.maker !== '') continue;
    files.set(
      device.name,
      JSON.stringify({
        device_id: device.id,
        size: device.size,
        transaction_id: device.transactionId,
        initialized: device.initialized,
        deleted: device.deleted,
      }),
    );
  }
  files.set(
    DEVICESET_FILE,
    JSON.stringify({
      next_device_id: info.lastDeviceId,
      BaseDeviceUUID: info.baseDeviceUuid,
      BaseDeviceFilesystem: info.baseFilesystem,
    }),
  );
  const last = source.lastTransaction();
  if (last !== undefined)
    files.set(
      TRANSACTION_FILE,
      JSON.stringify({
        open_transaction_id: last.id,
        // To Docker the base device is the one without a hash.
        device_hash: last.name === BASE_NAME ? '' : last.name,
        device_id: last.device,
      }),
    );
  return files;
}
