import { readFile } from 'node:fs/promises';
import { ThinError } from '../errors/thin-error.js';
import { BlockSeal, parseKey } from '../remote/block-seal.js';
import { CodecPool } from '../remote/codec-pool.js';
import { openStore } from '../remote/open-store.js';
import type { RemoteStore } from '../remote/remote-store.js';
import { parseRemoteUrl, type ImageName, type RemotePlace } from '../remote/remote-url.js';

export const URL_HELP = 's3://BUCKET/PREFIX or oci://HOST/REPOSITORY, and behind it :TAG or @sha256:DIGEST';
export const KEY_OPTION = [
  '--key-file <file>',
  'the key of images that are encrypted: 32 bytes, or 64 hex digits',
] as const;

export interface KeyFlags {
  readonly keyFile?: string;
}

/** A store that a command talks to, for as long as it runs. */
export interface OpenRemote {
  readonly place: RemotePlace;
  readonly name: ImageName | undefined;
  readonly store: RemoteStore;
  readonly seal: BlockSeal;
  /** Threads, started when they are first asked for. */
  codecs(): CodecPool;
}

/** Errors: invalid-argument, not-found (the key's file), permission (credentials); those of `work`. */
export async function withRemote<T>(
  url: string,
  { keyFile }: KeyFlags,
  work: (remote: OpenRemote) => Promise<T>,
): Promise<T> {
  const { place, name } = parseRemoteUrl(url);
  const key = keyFile === undefined ? undefined : parseKey(await readKey(keyFile), keyFile);
  const store = await openStore(place, process.env);
  let codecs: CodecPool | undefined;
  try {
    return await work({
      place,
      name,
      store,
      seal: new BlockSeal(key),
      codecs: () => (codecs ??= new CodecPool(key)),
    });
  } finally {
    store.close();
    await codecs?.close();
  }
}

async function readKey(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new ThinError('not-found', `the key's file ${file} cannot be read`, {
      cause: error,
      details: { path: file },
    });
  }
}
