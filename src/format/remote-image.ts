import { ByteReader, ByteWriter } from './byte-cursor.js';

/**
 * Bytes of a block, the unit in which an image in a store is named, packed and shared. All chunks are
 * multiples of it.
 */
export const IMAGE_BLOCK = 65536;

const HYDRATING = 1;

/**
 * remote-image := url:text digest:text key-file:text note:text family:u32 flags:u32 settings:u32 (name:text value:text) × settings
 * flags        := 1 it is being fetched in the background
 *
 * An image in a store elsewhere, of which remote chunks have their bytes. No secret is in it.
 */
export interface RemoteImage {
  /** The place, `s3://…` or `oci://…`, without a tag. */
  readonly url: string;
  /** SHA-256 of the image's manifest, 64 small hex digits. */
  readonly digest: string;
  /** Path of the file with the key of an encrypted image; empty: it is not encrypted. */
  readonly keyFile: string;
  /** Id of the note in the store that says that the image is needed; empty: there is none. */
  readonly note: string;
  /** Of the device that was made of it (`DeviceRecord.family`). */
  readonly family: number;
  /** The rest of it is to be fetched in the background. */
  readonly isHydrating: boolean;
  /** Variables of the environment that say how the place is reached, none of them a secret. */
  readonly settings: Readonly<Record<string, string>>;
}

export function packRemoteImage(image: RemoteImage): Uint8Array {
  const pairs = Object.entries(image.settings);
  const bytes = new ByteWriter()
    .text(image.url)
    .text(image.digest)
    .text(image.keyFile)
    .text(image.note)
    .u32(image.family)
    .u32(image.isHydrating ? HYDRATING : 0)
    .u32(pairs.length);
  for (const [name, value] of pairs) bytes.text(name).text(value);
  return bytes.finish();
}

/** @throws ThinError damaged, naming `path` */
export function unpackRemoteImage(body: Uint8Array, path: string): RemoteImage {
  const from = new ByteReader(body, path);
  const fields = {
    url: from.text(),
    digest: from.text(),
    keyFile: from.text(),
    note: from.text(),
    family: from.u32(),
    isHydrating: (from.u32() & HYDRATING) !== 0,
  };
  const settings: Record<string, string> = {};
  for (let left = from.u32(); left > 0; left--) settings[from.text()] = from.text();
  from.finish();
  return { ...fields, settings };
}
