import { randomBytes } from 'node:crypto';
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
import type { StoredImage } from './manifest.js';
import { FullPull, type PullParts } from './pull.js';

export interface DevicePullRequest {
  readonly image: StoredImage;
  /** What the device is called here. Default: what it is called there. */
  readonly name?: string | undefined;
  /** What becomes of it. Default: what it was. */
  readonly kind?: 'image' | 'snapshot' | undefined;
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
}

/** Makes a device of an image in a store: under a passing name, until it is complete. */
export class DevicePull {
  readonly #access: PoolAccess;
  readonly #reader: ImageReader;
  readonly #codecs: CodecPool;

  constructor(access: PoolAccess, reader: ImageReader, codecs: CodecPool) {
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
    return this.#claimed(request, () => this.#make(name, request));
  }

  /** Says in the store that the image is needed, where that is a store for it. */
  async #claimed<T>({ image, onNote }: DevicePullRequest, work: () => Promise<T>): Promise<T> {
    const { store } = this.#reader;
    if (!store.isCollected) return work();
    const about = { source: `pull/${image.digest}`, maker: await ownMaker() };
    const claims = new Claims(store, 'pull', randomBytes(8).toString('hex'), about);
    try {
      if (!(await claims.claim(refsOf(image, image.manifest))))
        throw new ThinError(
          'not-found',
          `${store.url}: the image is being removed, because no tag leads to it any more; pull another`,
        );
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'permission') throw error;
      onNote(
        `nobody is told that ${store.url} is read (it takes no notes from here): do not take the tag away meanwhile`,
      );
      return work();
    }
    try {
      return await work();
    } finally {
      await claims.end().catch((error: unknown) => {
        onNote(`a note of this pull is left in ${store.url}: ${toThinError(error).message}`);
      });
    }
  }

  async #make(name: string, request: DevicePullRequest): Promise<Pulled> {
    const { device } = request.image.manifest;
    const access = this.#access;
    const target = new PoolTarget(access);
    const maker = await ownMaker();
    let named = passingName();
    await access.call('device.createThin', {
      name: named,
      size: device.size,
      kind: 'snapshot',
      filesystem: device.filesystem,
      maker,
      ...(request.keepLabel && device.label !== '' ? { label: device.label } : {}),
    });
    try {
      const done = await this.#fill(target, named, request);
      await access.call('device.rename', { name: named, to: name, maker });
      named = name;
      await target.finish({ name, kind: request.kind ?? device.kind });
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

  async #fill(
    target: PoolTarget,
    named: string,
    { image, signal, onProgress }: DevicePullRequest,
  ): Promise<Pick<Pulled, 'fetched' | 'written'>> {
    const file = await target.open(named);
    const write = (offset: number, bytes: Uint8Array): Promise<void> => file.write(offset, bytes);
    const parts = { reader: this.#reader, image, codecs: this.#codecs, write, signal, onProgress };
    try {
      return await new FullPull(parts).run();
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
