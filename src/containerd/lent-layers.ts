import type AsyncLock from 'async-lock';
import { ThinError, toThinError } from '../errors/thin-error.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo } from '../pool/info.js';
import type { FoundLayers } from '../pool/remote-source.js';
import type { NewRemoteImage } from '../pool/thin-pool.js';
import type { ServedPool } from '../service/pool-service.js';
import { REF } from './asked.js';
import { snapshotDeviceName } from './device-naming.js';
import { LENT, lineageOf, sameLayer } from './layer-chain.js';
import type { LazyLayers } from './lazy-layers.js';
import { withoutEmpty } from './messages.js';
import { changing } from './snapshot-changes.js';
import type { Snapshot, SnapshotIndex } from './snapshot-index.js';
import {
  packSnapshotRecord,
  RETIRED_LABEL,
  shortKey,
  type Labels,
  type SnapshotRecord,
} from './snapshot-record.js';
import type { SnapshotterSettings } from './snapshotter-settings.js';
import { wallClock } from './wall-clock.js';

/** Milliseconds for which a registry is asked for what a block image consists of. */
const ATTACH_MS = 10_000;

/** A layer is to be unpacked on top of `above`, the snapshot `parent`, in a snapshot of `origin`. */
export interface Unpacking {
  readonly parent: string;
  readonly above: Snapshot | undefined;
  readonly origin: DeviceInfo;
  readonly labels: Labels;
  /** What a registry has of it; undefined: nothing. */
  readonly lazy: LazyLayer | undefined;
}

/** A layer's block image, and that of the layer below. */
export interface LazyLayer {
  readonly own: FoundLayers['layers'][number];
  readonly image: NewRemoteImage;
  readonly below: NewRemoteImage | undefined;
}

/** As of the snapshotter that the layers are lent to. */
export interface LentLayersParts {
  readonly name: string;
  readonly served: ServedPool;
  readonly index: SnapshotIndex;
  readonly lazy: LazyLayers;
  readonly settings: Pick<SnapshotterSettings, 'lazy'>;
  readonly locks: AsyncLock;
}

/**
 * Layers that are not unpacked, because the pool has them already, under whatever name, or a registry has a
 * block image of them.
 */
export class LentLayers {
  readonly #parts: LentLayersParts;

  constructor(parts: LentLayersParts) {
    this.#parts = parts;
  }

  /** The block image of a layer that the pool does not have. Never rejects. */
  async look(parent: string, ref: string | undefined, labels: Labels): Promise<LazyLayer | undefined> {
    const { name, index, lazy, settings } = this.#parts;
    const above = parent === '' ? undefined : index.find(name, parent)?.record;
    if (ref === undefined || settings.lazy === undefined || (parent !== '' && above === undefined))
      return undefined;
    if (sameLayer(index, ref, above).length > 0) return undefined;
    const found = await lazy.find(labels, settings.lazy);
    const at = found?.layers.findIndex(({ chain }) => chain === ref) ?? -1;
    if (found === undefined) return undefined;
    const below = above === undefined ? [] : lineageOf(index, above);
    const chain = found.layers.slice(0, at < 0 ? 0 : at).map((layer) => layer.chain);
    if (at < 0 || below?.toReversed().join(' ') !== chain.join(' ')) {
      lazy.giveUp(labels, `they are not of the layer ${ref} on top of those below it`);
      return undefined;
    }
    const imageOf = (layer: FoundLayers['layers'][number]): NewRemoteImage => ({
      url: found.url,
      digest: layer.digest,
      keyFile: '',
      note: '',
      settings: found.settings,
    });
    const lower = found.layers[at - 1];
    const own = found.layers[at]!;
    return { own, image: imageOf(own), below: lower && imageOf(lower) };
  }

  /**
   * What is not unpacked becomes a layer of this name, and `exists` tells containerd to look for it
   * (core/metadata/snapshot.go, `createSnapshot`).
   */
  async requireMissing(ref: string, asked: Unpacking): Promise<void> {
    const { locks } = this.#parts;
    const isThere =
      asked.lazy === undefined
        ? await this.#lend(ref, asked)
        : // Another name wants the same layer, and is lent this one.
          await locks.acquire(JSON.stringify([ref]), () => this.#lend(ref, asked));
    if (isThere) throw new ThinError('exists', `the pool has the layer ${shortKey(ref)} already`);
  }

  async #lend(ref: string, asked: Unpacking): Promise<boolean> {
    const { name, index } = this.#parts;
    const same = sameLayer(index, ref, asked.above?.record);
    if (
      same.some(
        ({ record }) =>
          record.snapshotter === name && record.parent === asked.parent && record.labels[REF] === ref,
      )
    )
      return true;
    // A filesystem of another kind, or a larger one, would not be what this snapshotter gives.
    const found = same.find(({ device }) => isLike(device, asked.origin));
    if (found !== undefined && (await this.#share(found, ref, asked))) return true;
    return asked.lazy !== undefined && (await this.#attach(asked.lazy, ref, asked));
  }

  /** O(1). False where it was removed meanwhile. */
  async #share({ record, device }: Snapshot, ref: string, asked: Unpacking): Promise<boolean> {
    const { pool, devices } = this.#parts.served;
    const { key, name } = this.#named(ref);
    return changing(this.#parts, [device.name, name], async () => {
      if (pool.device(device.name)?.label !== device.label) return false;
      const label = this.#labelOf(ref, key, asked, { ...record, bytes: 0 });
      await devices.snapshot({ name, origin: device.name, kind: 'image', size: asked.origin.size, label });
      return true;
    });
  }

  /**
   * Its bytes are fetched when they are read. False where that cannot be: the layer is unpacked then. Errors:
   * closed.
   */
  async #attach({ own, image, below }: LazyLayer, ref: string, asked: Unpacking): Promise<boolean> {
    const { lazy } = this.#parts;
    const { origin } = asked;
    if (!isLike(own, origin)) {
      lazy.giveUp(
        asked.labels,
        `they are ${own.filesystem} of ${own.size} bytes, and this snapshotter gives ${origin.filesystem} of ${origin.size}`,
      );
      return false;
    }
    const { key, name } = this.#named(ref);
    const { above } = asked;
    // A layer that was unpacked here has the same files, but not the same blocks.
    const isAbove = below !== undefined && above?.record.image === below.digest;
    const on = isAbove ? { origin: above.device.name, below } : undefined;
    const { devices } = this.#parts.served;
    try {
      await changing(this.#parts, on === undefined ? [name] : [on.origin, name], () =>
        devices.createRemote({
          ...{ name, image, above: on, timeoutMs: ATTACH_MS },
          ...{ size: own.size, filesystem: own.filesystem },
          labels: {
            // A successor of a daemon that was killed meanwhile removes it as it does any retired device.
            making: RETIRED_LABEL,
            made: ({ exclusive: bytes }) =>
              this.#labelOf(ref, key, asked, {
                kind: 'committed',
                ...{ bytes, inodes: own.inodes, image: own.digest },
              }),
          },
        }),
      );
      return true;
    } catch (error) {
      const { code, message } = toThinError(error);
      if (code === 'closed') throw error;
      lazy.giveUp(asked.labels, message);
      return false;
    }
  }

  #named(ref: string): { readonly key: string; readonly name: DeviceName } {
    const { name: snapshotter, index, served } = this.#parts;
    let number = 1;
    while (index.find(snapshotter, lentKey(ref, number)) !== undefined) number++;
    const key = lentKey(ref, number);
    const isTaken = (taken: DeviceName): boolean => served.pool.device(taken) !== undefined;
    return { key, name: snapshotDeviceName(snapshotter, key, isTaken) };
  }

  #labelOf(
    ref: string,
    key: string,
    { parent, labels }: Pick<Unpacking, 'parent' | 'labels'>,
    of: Pick<SnapshotRecord, 'kind' | 'bytes' | 'inodes' | 'image' | 'remapped'>,
  ): string {
    const now = wallClock();
    return packSnapshotRecord({
      ...of,
      snapshotter: this.#parts.name,
      ...{ key, parent },
      createdAt: now,
      updatedAt: now,
      labels: withoutEmpty(Object.entries({ ...labels, [REF]: ref })),
      call: undefined,
    });
  }
}

/** Whether a layer like this can stand where `origin` would. */
function isLike(
  { filesystem, size }: Pick<DeviceInfo, 'filesystem' | 'size'>,
  origin: Pick<DeviceInfo, 'filesystem' | 'size'>,
): boolean {
  return filesystem === origin.filesystem && size <= origin.size;
}

/** Of a layer that was not unpacked under its snapshotter's name. */
function lentKey(ref: string, number: number): string {
  return `${LENT}${number}/${ref}`;
}
