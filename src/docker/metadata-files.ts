import { BASE_NAME } from '../format/device-name.js';
import type { DeviceId, DeviceName, TransactionId } from '../format/ids.js';
import type { DeviceInfo, PoolInfo } from '../pool/info.js';

/** What the files are written from; a `ThinPool` is one. */
export interface ProjectionSource {
  info(): PoolInfo;
  eachDevice(): AsyncIterable<DeviceInfo>;
  device(name: DeviceName): DeviceInfo | undefined;
  lastTransaction():
    { readonly id: TransactionId; readonly name: DeviceName; readonly device: DeviceId } | undefined;
  /** Tells which devices came, went or changed from now on. */
  watch(): { take(): ReadonlySet<DeviceName>; stop(): void };
}

const DEVICESET_FILE = 'deviceset-metadata';
const TRANSACTION_FILE = 'transaction-metadata';

/**
 * The files of Docker's `metadata/` folder and their content, byte for byte as its driver wrote them (moby
 * deviceset.go, `saveMetadata`, `saveDeviceSetMetaData`, `saveTransactionMetaData`): compact JSON, keys in
 * this order, no newline. Nothing needs an escape: names hold no character that Go's encoder would escape.
 */
export async function metadataFiles(source: ProjectionSource): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>();
  for await (const device of source.eachDevice()) {
    const content = deviceFile(device);
    if (content !== undefined) files.set(device.name, content);
  }
  for (const [name, content] of poolFiles(source)) files.set(name, content);
  return files;
}

/** Undefined: incomplete devices are not shown. */
export function deviceFile(device: DeviceInfo): string | undefined {
  if (device.maker !== '') return undefined;
  return JSON.stringify({
    device_id: device.id,
    size: device.size,
    transaction_id: device.transactionId,
    initialized: device.initialized,
    deleted: device.deleted,
  });
}

/** Those that are no device's. */
export function poolFiles(
  source: Pick<ProjectionSource, 'info' | 'lastTransaction'>,
): ReadonlyMap<string, string> {
  const files = new Map<string, string>();
  const info = source.info();
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
