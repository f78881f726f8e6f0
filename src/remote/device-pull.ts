import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { parseDeviceName } from '../format/device-name.js';
import type { FoundRemote } from '../pool/remote-source.js';
import { ownMaker, passingName } from '../transfer/passing-devices.js';
import type { PoolAccess } from '../transfer/pool-access.js';
import { PoolTarget } from '../transfer/pool-target.js';
import { packAnchor, type Anchor } from './anchor.js';
import type { CodecPool } from './codec-pool.js';
import { anchorName } from './device-push.js';
import type { Digest } from './digest.js';
import type { ImageReader } from './image-reader.js';
import { lazySettings } from './lazy-settings.js';
import type { StoredImage } from './manifest.js';
import { PullClaim } from './pull-claim.js';
import { FullPull, type PullParts } from './pull.js';

export interface DevicePullRequest {
  /** What the device is called here. Default: what it is called there. */
  readonly name?: string | undefined;
  /** What becomes of it. Default: what it was. */
  readonly kind?: 'image' | 'snapshot' | 'container' | undefined;
  /** Makes it the device of a program, which has names and labels of its own for such. */
  readonly as?: ((name: string) => { readonly name: string; readonly label: string }) | undefined;
  /** Whether what a program kept with the device there comes with it. */
  readonly keepLabel: boolean;
  /** Hears what does not matter for the device. */
  readonly onNote: (text: string) => void;
}

/** An image that the daemon finds, and fetches as it is read. */
export interface LazyFrom {
  /** `s3://…` or `oci://…`, with a tag or a digest. */
  readonly reference: string;
  readonly keyFile: string | undefined;
  /** Says how the store is reached; secrets of it stay here. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** An image that is fetched first. */
export interface FullFrom {
  readonly reader: ImageReader;
  readonly image: StoredImage;
  readonly codecs: () => CodecPool;
  readonly signal: AbortSignal;
  readonly onProgress?: PullParts['onProgress'];
}

/** What a device is made of. */
interface Source {
  readonly url: string;
  readonly digest: string;
  readonly device: FoundRemote['device'];
  /** Gives the device its bytes; then the store keeps those that it does not have yet. */
  readonly fill: (target: PoolTarget, device: string) => Promise<Omit<Pulled, 'name' | 'size' | 'digest'>>;
}

/** Sizes in bytes. */
export interface Pulled {
  readonly name: string;
  readonly digest: string;
  readonly size: number;
  readonly fetched: number;
  readonly written: number;
  /** What is in the store alone, and is fetched when it is read. */
  readonly remote: number;
}

/** Makes a device of an image in a store: under a passing name, until it is complete. */
export class DevicePull {
  readonly #access: PoolAccess;

  constructor(access: PoolAccess) {
    this.#access = access;
  }

  /**
   * The device is there at once. All of it, or nothing. Errors: exists, no-space, closed, unsupported (no
   * daemon); as `RemoteSource.find`.
   */
  async lazy(request: DevicePullRequest, { reference, keyFile, env }: LazyFrom): Promise<Pulled> {
    const access = this.#access;
    if (request.name !== undefined) await this.#requireFree(shown(request.name, request));
    const note = randomBytes(8).toString('hex');
    const reached = {
      keyFile: keyFile === undefined ? '' : path.resolve(keyFile),
      note,
      settings: lazySettings(env),
    };
    const { url, digest, isHeld, device } = await access.call('remote.find', { reference, ...reached });
    if (!isHeld) request.onNote(nobodyKnows(url));
    const fill: Source['fill'] = async (_, named) => {
      const { blockSize } = await access.call('pool.info', {});
      const maker = await ownMaker();
      const image = { url, digest, ...reached };
      const { chunks } = await access.call('device.attach', { name: named, maker, image });
      return { fetched: 0, written: 0, remote: chunks * blockSize };
    };
    try {
      return await this.#make(request, { url, digest, device, fill });
    } catch (error) {
      await access.call('remote.forget', { note }).catch((failure: unknown) => {
        request.onNote(noteIsLeft(url, failure));
      });
      throw error;
    }
  }

  /** All of it is fetched first; or nothing. Errors: exists, no-space, closed, not-found; `FullPull.run`. */
  async full(request: DevicePullRequest, from: FullFrom): Promise<Pulled> {
    const { image, reader } = from;
    const { url } = reader.store;
    const { device } = image.manifest;
    await this.#requireFree(shown(device.name, request));
    const about = { source: `pull/${image.digest}`, maker: await ownMaker() };
    const claim = new PullClaim(reader, randomBytes(8).toString('hex'), about, 'push');
    // Beside the work, which gives nothing a name before.
    const taken = claim.take(image);
    taken.catch(() => undefined);
    const fill: Source['fill'] = async (target, named) => {
      const done = await fetchAll(target, named, from);
      await taken;
      if (!claim.isTaken) request.onNote(nobodyKnows(url));
      return { ...done, remote: 0 };
    };
    try {
      return await this.#make(request, { url, digest: image.digest, device, fill });
    } finally {
      await claim.end().catch((error: unknown) => {
        request.onNote(noteIsLeft(url, error));
      });
    }
  }

  async #requireFree(name: string): Promise<void> {
    const devices = await this.#access.call('device.list', {});
    if (devices.some((other) => other.name === name))
      throw new ThinError(
        'exists',
        `there is a device ${name} already; remove it, or give another name after the url`,
        { details: { device: name } },
      );
  }

  async #make(request: DevicePullRequest, { url, digest, device, fill }: Source): Promise<Pulled> {
    const name = parseDeviceName(shown(device.name, request));
    await this.#requireFree(name);
    const kind = request.kind ?? device.kind;
    const label = labelOf(request, device);
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
      const done = await fill(target, named);
      await access.call('device.rename', { name: named, to: name, maker });
      named = name;
      await target.finish({ name, kind });
      if (device.quota > 0) await access.call('device.quota', { name, quota: device.quota });
      await this.#keep(name, { url, image: digest as Digest }, request);
      return { name, size: device.size, digest, ...done };
    } catch (error) {
      await target.remove(named).catch((failure: unknown) => {
        request.onNote(
          `${named} is left, is marked so, and goes with the next start: ${toThinError(failure).message}`,
        );
      });
      throw error;
    }
  }

  /** A push of what is made of it sends what differs. */
  async #keep(name: string, anchor: Anchor, { onNote }: DevicePullRequest): Promise<void> {
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

async function fetchAll(
  target: PoolTarget,
  named: string,
  { reader, image, codecs, signal, onProgress }: FullFrom,
): Promise<{ readonly fetched: number; readonly written: number }> {
  const file = await target.open(named);
  const write = (offset: number, bytes: Uint8Array): Promise<void> => file.write(offset, bytes);
  try {
    return await new FullPull({ reader, image, codecs: codecs(), write, signal, onProgress }).run();
  } finally {
    await file.close();
  }
}

/** What the device is called here that is called `there` in the store. */
function shown(there: string, { name = there, as }: DevicePullRequest): string {
  return as === undefined ? name : as(name).name;
}

function labelOf({ name, as, keepLabel }: DevicePullRequest, device: FoundRemote['device']): string {
  if (as !== undefined) return as(name ?? device.name).label;
  return keepLabel ? device.label : '';
}

function nobodyKnows(url: string): string {
  return `the pull cannot leave a note in ${url}, so a collection there does not know of it: do not remove the tag meanwhile`;
}

function noteIsLeft(url: string, error: unknown): string {
  return `a note of this pull is left in ${url}: ${toThinError(error).message}`;
}
