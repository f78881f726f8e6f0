import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { parseDeviceName } from '../format/device-name.js';
import { ownMaker, passingName } from '../transfer/passing-devices.js';
import type { PoolAccess } from '../transfer/pool-access.js';
import { PoolTarget } from '../transfer/pool-target.js';
import { packAnchor } from './anchor.js';
import { Claims } from './claims.js';
import type { CodecPool } from './codec-pool.js';
import { anchorName } from './device-push.js';
import { refsOf, type ImageReader } from './image-reader.js';
import { lazySettings } from './lazy-settings.js';
import type { StoredImage } from './manifest.js';
import { FullPull, type PullParts } from './pull.js';

export interface DevicePullRequest {
  readonly image: StoredImage;
  /** What the device is called here. Default: what it is called there. */
  readonly name?: string | undefined;
  /** What becomes of it. Default: what it was. */
  readonly kind?: 'image' | 'snapshot' | 'container' | undefined;
  /** What it says of the program that it belongs to; default: what `keepLabel` says. */
  readonly label?: string | undefined;
  /**
   * Undefined: all of it is fetched first. Else the device is there at once, and the daemon fetches what is
   * read, in this environment and with the key in this file.
   */
  readonly lazy?:
    | { readonly env: Readonly<Record<string, string | undefined>>; readonly keyFile: string | undefined }
    | undefined;
  /** Whether what a program kept with the device there comes with it. */
  readonly keepLabel: boolean;
  readonly signal: AbortSignal;
  readonly onProgress?: PullParts['onProgress'];
  /** Hears what does not matter for the device. */
  readonly onNote: (text: string) => void;
}

/** Sizes in bytes. */
export interface Pulled {
  readonly name: string;
  readonly size: number;
  readonly fetched: number;
  readonly written: number;
  /** What is in the store alone, and is fetched when it is read. */
  readonly remote: number;
}

/** Makes a device of an image in a store: under a passing name, until it is complete. */
export class DevicePull {
  readonly #access: PoolAccess;
  readonly #reader: ImageReader;
  readonly #codecs: () => CodecPool;

  constructor(access: PoolAccess, reader: ImageReader, codecs: () => CodecPool) {
    this.#access = access;
    this.#reader = reader;
    this.#codecs = codecs;
  }

  /**
   * All of it, or nothing. Errors: exists, no-space, closed; not-found (it is being removed); as
   * `FullPull.run`.
   */
  async run(request: DevicePullRequest): Promise<Pulled> {
    const { device } = request.image.manifest;
    const name = parseDeviceName(request.name ?? device.name);
    const devices = await this.#access.call('device.list', {});
    if (devices.some((other) => other.name === name))
      throw new ThinError(
        'exists',
        `there is a device ${name} already; remove it, or give another name behind the url`,
        { details: { device: name } },
      );
    return this.#claimed(request, (note, claimed) => this.#make(name, request, note, claimed));
  }

  /** Says in the store that the image is needed, where that is a store for it. */
  async #claimed<T>(
    { image, lazy, onNote }: DevicePullRequest,
    work: (note: string, claimed: Promise<void>) => Promise<T>,
  ): Promise<T> {
    const { store } = this.#reader;
    if (!store.isCollected) return work('', Promise.resolve());
    const about = { source: `pull/${image.digest}`, maker: await ownMaker() };
    const note = randomBytes(8).toString('hex');
    const claims = new Claims(store, 'pull', note, about);
    const end = (): Promise<void> =>
      claims.end().catch((error: unknown) => {
        onNote(`a note of this pull is left in ${store.url}: ${toThinError(error).message}`);
      });
    const claim = async (): Promise<void> => {
      try {
        if (await claims.claim(refsOf(image, image.manifest))) return;
      } catch (error) {
        if (!(error instanceof ThinError) || error.code !== 'permission') throw error;
        onNote(
          `the pull cannot leave a note in ${store.url}, so a collection there does not know of it: do not remove the tag meanwhile`,
        );
        return;
      }
      throw new ThinError(
        'not-found',
        `${store.url}: the image is being removed, because no tag leads to it any more; pull another`,
      );
    };
    // Beside the work, which gives nothing a name before.
    const claimed = claim();
    claimed.catch(() => undefined);
    try {
      const result = await work(note, claimed);
      // The daemon takes it away when nothing is in the store alone any more.
      if (lazy === undefined) await end();
      return result;
    } catch (error) {
      await end();
      throw error;
    }
  }

  /** @param claimed the store keeps the image from then on */
  async #make(
    name: string,
    request: DevicePullRequest,
    note: string,
    claimed: Promise<void>,
  ): Promise<Pulled> {
    const { device } = request.image.manifest;
    const kind = request.kind ?? device.kind;
    const label = request.label ?? (request.keepLabel ? device.label : '');
    const access = this.#access;
    const target = new PoolTarget(access);
    const maker = await ownMaker();
    let named = passingName();
    await access.call('device.createThin', {
      name: named,
      size: device.size,
      kind: kind === 'container' ? kind : 'snapshot',
      filesystem: device.filesystem,
      content: device.content,
      maker,
      ...(label !== '' && { label }),
    });
    try {
      const done = await (request.lazy === undefined
        ? this.#fill(target, named, request)
        : this.#attach(named, request, note));
      await claimed;
      await access.call('device.rename', { name: named, to: name, maker });
      named = name;
      await target.finish({ name, kind });
      if (device.quota > 0) await access.call('device.quota', { name, quota: device.quota });
      await this.#keep(name, request);
      return { name, size: device.size, ...done };
    } catch (error) {
      await target.remove(named).catch((failure: unknown) => {
        request.onNote(
          `${named} is left, is marked so, and goes with the next start: ${toThinError(failure).message}`,
        );
      });
      throw error;
    }
  }

  /** It is there, and has its bytes where they are. */
  async #attach(
    named: string,
    { image, lazy }: DevicePullRequest,
    note: string,
  ): Promise<Omit<Pulled, 'name' | 'size'>> {
    const { blockSize } = await this.#access.call('pool.info', {});
    const { chunks } = await this.#access.call('device.attach', {
      name: named,
      maker: await ownMaker(),
      image: {
        url: this.#reader.store.url,
        digest: image.digest,
        keyFile: lazy?.keyFile === undefined ? '' : path.resolve(lazy.keyFile),
        note,
        settings: lazySettings(lazy?.env ?? {}),
      },
    });
    return { fetched: 0, written: 0, remote: chunks * blockSize };
  }

  async #fill(
    target: PoolTarget,
    named: string,
    { image, signal, onProgress }: DevicePullRequest,
  ): Promise<Omit<Pulled, 'name' | 'size'>> {
    const file = await target.open(named);
    const write = (offset: number, bytes: Uint8Array): Promise<void> => file.write(offset, bytes);
    const parts = { reader: this.#reader, image, codecs: this.#codecs(), write, signal, onProgress };
    try {
      return { ...(await new FullPull(parts).run()), remote: 0 };
    } finally {
      await file.close();
    }
  }

  /** A push of what is made of it sends what differs. */
  async #keep(name: string, { image, onNote }: DevicePullRequest): Promise<void> {
    const anchor = { url: this.#reader.store.url, image: image.digest };
    const maker = await ownMaker();
    const held = passingName();
    try {
      await this.#access.call('device.create', { name: held, origin: name, kind: 'snapshot', maker });
      const to = anchorName(name, anchor);
      await this.#access.call('device.anchor', { name: held, to, label: packAnchor(anchor), maker });
    } catch (error) {
      onNote(
        `${name} is not kept as it was pulled, so that a push of it reads all of it: ${toThinError(error).message}`,
      );
    }
  }
}
