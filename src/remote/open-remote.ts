import { readFile } from 'node:fs/promises';
import { ThinError } from '../errors/thin-error.js';
import { BlockSeal, parseKey } from './block-seal.js';
import { CodecPool } from './codec-pool.js';
import { openStore } from './open-store.js';
import { OciStore } from './oci-store.js';
import type { RemoteStore } from './remote-store.js';
import { DEFAULT_TAG, parseRemoteUrl, type ImageName, type RemotePlace } from './remote-url.js';

/** A store, the name in it that a URL gives, and the key of its images. */
export class OpenRemote {
  readonly place: RemotePlace;
  /** Undefined: the URL names the store alone. */
  readonly name: ImageName | undefined;
  readonly store: RemoteStore;
  readonly seal: BlockSeal;
  readonly #key: Uint8Array | undefined;
  #codecs: CodecPool | undefined;

  private constructor(url: ReturnType<typeof parseRemoteUrl>, store: RemoteStore, key?: Uint8Array) {
    this.place = url.place;
    this.name = url.name;
    this.store = store;
    this.seal = new BlockSeal(key);
    this.#key = key;
  }

  /**
   * @param keyFile the file with the key of encrypted images
   * @param env where the store's credentials are
   *
   * Errors: invalid-argument, not-found (the key's file), permission (credentials).
   */
  static async at(
    url: string,
    keyFile: string | undefined,
    env: Readonly<Record<string, string | undefined>> = process.env,
  ): Promise<OpenRemote> {
    const parsed = parseRemoteUrl(url);
    const key = keyFile === undefined ? undefined : parseKey(await readKey(keyFile), keyFile);
    return new OpenRemote(parsed, await openStore(parsed.place, env), key);
  }

  /** The tag that a push moves. Errors: invalid-argument: the URL names a digest. */
  get tag(): string {
    if (this.name?.kind === 'digest')
      throw new ThinError('invalid-argument', `a push moves a tag; write ${this.place.url}:TAG`);
    return this.name?.tag ?? DEFAULT_TAG;
  }

  /** Errors: invalid-argument: it is none. */
  get registry(): OciStore {
    if (this.store instanceof OciStore) return this.store;
    throw new ThinError(
      'invalid-argument',
      `${this.place.url} is no registry; write oci://HOST/REPOSITORY:TAG`,
    );
  }

  /** Threads. The first call starts them. */
  codecs(): CodecPool {
    return (this.#codecs ??= new CodecPool(this.#key));
  }

  async close(): Promise<void> {
    this.store.close();
    await this.#codecs?.close();
  }
}

/** Opens what `url` names while `work` uses it. Errors: as `OpenRemote.at`; those of `work`. */
export async function withRemote<T>(
  url: string,
  keyFile: string | undefined,
  work: (remote: OpenRemote) => Promise<T>,
): Promise<T> {
  const remote = await OpenRemote.at(url, keyFile);
  try {
    return await work(remote);
  } finally {
    await remote.close();
  }
}

export async function readKey(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new ThinError('not-found', `the key's file ${file} cannot be read`, {
      cause: error,
      details: { path: file },
    });
  }
}
