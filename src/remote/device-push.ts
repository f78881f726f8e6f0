import type { DeviceStatus, Incompleteness } from '../api/operations.js';
import { toThinError } from '../errors/thin-error.js';
import { MAX_NAME_LENGTH } from '../format/device-name.js';
import { PUSHED } from '../format/device-record.js';
import type { Exec } from '../host/exec.js';
import { isAtWork } from '../host/maker.js';
import { changed, mapped } from '../transfer/device-digest.js';
import { ownMaker } from '../transfer/passing-devices.js';
import type { PoolAccess } from '../transfer/pool-access.js';
import { IMAGE_BLOCK } from '../format/remote-image.js';
import { StoredDevice, withStill, type StillDevice } from '../transfer/still-device.js';
import { packAnchor, unpackAnchor, type Anchor } from './anchor.js';
import type { BlockSeal } from './block-seal.js';
import type { Digest } from './digest.js';
import type { CodecPool } from './codec-pool.js';
import { Push, type Pushed, type PushParts, type PushSource } from './push.js';
import type { RemoteStore } from './remote-store.js';
import { traceStart } from './traced-start.js';

export interface DevicePushRequest {
  readonly name: string;
  /** Undefined: none is moved. */
  readonly tag: string | undefined;
  /** It is pushed as a layer of an ordinary image. */
  readonly layer?: PushedLayer | undefined;
  /** Whether the device as it was pushed is kept, to compare the next push with. */
  readonly anchor: boolean;
  /**
   * A command whose start is recorded in a container of the device; undefined: what was read of an image and
   * of what was made of it since the daemon began.
   */
  readonly trace: { readonly command: string; readonly exec: Exec } | undefined;
  readonly signal: AbortSignal;
  readonly onProgress?: PushParts['onProgress'];
  /** Hears what does not matter for the push. */
  readonly onNote: (text: string) => void;
}

export interface PushedLayer {
  /** What it is called in its image. */
  readonly name: string;
  /** The device of the layer below, and the image that it is in the store. */
  readonly below: { readonly device: string; readonly image: Digest } | undefined;
  /** Containers start from it. */
  readonly isTop: boolean;
  readonly others: PushParts['others'];
}

/** Brings a device of a pool into a store, as it is at one moment. */
export class DevicePush {
  readonly #access: PoolAccess;
  readonly #store: RemoteStore;
  readonly #seal: BlockSeal;
  readonly #codecs: CodecPool;

  constructor(access: PoolAccess, store: RemoteStore, seal: BlockSeal, codecs: CodecPool) {
    this.#access = access;
    this.#store = store;
    this.#seal = seal;
    this.#codecs = codecs;
  }

  /** Errors: not-found; as `Push.run`; busy, damaged (the device). */
  async run(request: DevicePushRequest): Promise<Pushed & Incompleteness> {
    const maker = await ownMaker();
    return withStill(this.#access, request.name, async (still) => {
      const devices = await this.#access.call('device.list', {});
      const pushed = await new Push({
        store: this.#store,
        source: await this.#source(still, devices, request),
        codecs: this.#codecs,
        seal: this.#seal,
        maker,
        isGone: async (other) => !(await isAtWork(other)),
        signal: request.signal,
        others: request.layer?.others,
        onProgress: request.onProgress,
      }).run(request.tag);
      const anchor = { url: this.#store.url, image: pushed.image };
      if (request.anchor)
        await this.#keep(still, devices, anchor).catch((error: unknown) => {
          request.onNote(
            `the device as it was pushed is not kept, so that the next push reads all of it: ${toThinError(error).message}`,
          );
        });
      return { ...pushed, lacks: still.lacks };
    });
  }

  /** Blocks of an image that a start reads. */
  async #start(
    still: StillDevice,
    blockSize: number,
    { trace, signal, onNote, layer }: DevicePushRequest,
  ): Promise<number[]> {
    const { name, kind } = still.device;
    if (layer?.isTop === false) return [];
    let chunks: readonly number[] = [];
    if (trace !== undefined)
      chunks = await traceStart(this.#access, trace.exec, {
        ...{ origin: still.name, command: trace.command, signal },
        onOutput: (piece) => void process.stderr.write(piece),
      });
    // A volume reads what it happens to read.
    else if (kind === 'image')
      chunks = await this.#access.call('device.reads', { name }).then(
        ({ blocks }) => blocks,
        (error: unknown) => {
          onNote(`the blocks that a start of ${name} reads are unknown: ${toThinError(error).message}`);
          return [];
        },
      );
    const each = blockSize / IMAGE_BLOCK;
    return chunks.flatMap((chunk) => Array.from({ length: each }, (_, at) => chunk * each + at));
  }

  async #source(
    still: StillDevice,
    devices: readonly DeviceStatus[],
    request: DevicePushRequest,
  ): Promise<PushSource> {
    const { uuid, blockSize } = await this.#access.call('pool.info', {});
    const { device } = still;
    const { layer } = request;
    const chain = chainOf(device, devices);
    return {
      id: `${uuid}/${device.id}`,
      device: {
        name: layer?.name ?? device.name,
        size: device.size,
        kind: device.kind === 'image' ? 'image' : 'snapshot',
        filesystem: device.filesystem,
        ...((device.content ?? 'rootfs') !== 'rootfs' && { content: device.content }),
        ...(layer === undefined
          ? {
              label: device.label,
              quota: device.quota ?? 0,
              lineage: chain.slice(1).map(({ name }) => name),
            }
          : { label: '', quota: 0, lineage: [] }),
      },
      mapped: () => mapped(still, blockSize),
      ancestors: [
        ...anchorsOf(chain, devices, this.#store.url)
          .filter(({ anchor }) => anchor.size <= device.size)
          .map(({ anchor, image }) => ({ name: anchor.name, image })),
        ...(layer?.below === undefined ? [] : [{ name: layer.below.device, image: layer.below.image }]),
      ].map(({ name, image }) => ({
        image,
        changes: () => changed(this.#access, new StoredDevice(this.#access, name), still, blockSize),
      })),
      read: (offset, into) => still.read(offset, into),
      start: () => this.#start(still, blockSize, request),
    };
  }

  /** In place of how the device was pushed to there before. */
  async #keep(still: StillDevice, devices: readonly DeviceStatus[], anchor: Anchor): Promise<void> {
    const to = anchorName(still.device.name, anchor);
    const isKept = ({ name, maker, origin, label }: DeviceStatus): boolean =>
      name === to && maker === PUSHED && origin === still.device.id && label === packAnchor(anchor);
    if (devices.some(isKept)) return;
    if (!(await still.keepAs(to, packAnchor(anchor)))) return;
    for (const { name, label, maker, origin } of devices)
      if (maker === PUSHED && origin === still.device.id && unpackAnchor(label)?.url === anchor.url)
        await this.#access.call('device.remove', { name });
  }
}

export function anchorName(name: string, { image }: Anchor): string {
  const suffix = `.pushed-${image.slice(0, 12)}`;
  return name.slice(0, MAX_NAME_LENGTH - suffix.length) + suffix;
}

/**
 * Devices that are kept as they were pushed to there, of the device or what it descends from, the nearest and
 * newest first.
 */
function anchorsOf(
  chain: readonly DeviceStatus[],
  devices: readonly DeviceStatus[],
  url: string,
): { readonly anchor: DeviceStatus; readonly image: Anchor['image'] }[] {
  const place = ({ origin }: DeviceStatus): number => chain.findIndex(({ id }) => id === origin);
  return devices
    .flatMap((anchor) => {
      const pushed = anchor.maker === PUSHED ? unpackAnchor(anchor.label) : undefined;
      return pushed?.url === url && place(anchor) >= 0 ? [{ anchor, image: pushed.image }] : [];
    })
    .sort((x, y) => place(x.anchor) - place(y.anchor) || y.anchor.id - x.anchor.id);
}

/** The device and what it descends from, as far as that is there. */
function chainOf(device: DeviceStatus, devices: readonly DeviceStatus[]): DeviceStatus[] {
  const byId = new Map(devices.map((other) => [other.id, other]));
  const chain = [device];
  for (let next = device.origin; next !== undefined;) {
    const origin = byId.get(next);
    if (origin === undefined || chain.includes(origin)) break;
    chain.push(origin);
    next = origin.origin;
  }
  return chain;
}
