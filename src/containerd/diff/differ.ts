import { toThinError, ThinError } from '../../errors/thin-error.js';
import type { DeviceName } from '../../format/ids.js';
import { changedRanges, type ByteRange } from '../../pool/changed-ranges.js';
import type { FrozenMetadata } from '../../pool/pool-tools.js';
import type { ServedPool } from '../../service/pool-service.js';
import { isMadeFrom } from '../layer-chain.js';
import type { MountMessage } from '../messages.js';
import type { SnapshotIndex } from '../snapshot-index.js';
import { unpackSnapshotRecord, type SnapshotRecord } from '../snapshot-record.js';
import { compressionOf, USUAL_LAYER } from './compression.js';
import type { CallScope } from './content-store.js';
import { LayerProcess } from './layer-process.js';
import type { LayerBlob, LayerSide, LayerTask } from './layer-task.js';

export interface DiffAsk {
  readonly left: readonly MountMessage[];
  readonly right: readonly MountMessage[];
  /** Empty: the usual one. */
  readonly mediaType: string;
  /** Empty: none. */
  readonly ref: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Unix time, seconds. */
  readonly epoch: number | undefined;
  readonly scope: CallScope;
}

interface Side extends LayerSide {
  readonly device: DeviceName;
  /** The device that is mounted: its own, or a hidden snapshot of it. */
  readonly shown: DeviceName;
  readonly readOnly: boolean;
  readonly record: SnapshotRecord;
}

/**
 * containerd's Diff of two snapshots of this pool: their mapping trees say which inodes may have changed, so
 * that of an image's files neither contents nor, mostly, the earlier inodes are read. Errors: unsupported
 * (another differ is to be asked: these are not two snapshots of the pool with one made from the other, that
 * the daemon has mounted; a media type; no containerd to write to), closed, and those of `makeLayer`.
 */
export class Differ {
  readonly #served: ServedPool;
  readonly #index: SnapshotIndex;
  readonly #containerd: string;
  #stopping = new AbortController();

  /** @param containerd the socket of the one whose content store gets the layers */
  constructor(served: ServedPool, index: SnapshotIndex, containerd: string) {
    this.#served = served;
    this.#index = index;
    this.#containerd = containerd;
  }

  /** Those under way end with `closed`; a client, or a relay, asks again. */
  interrupt(): void {
    this.#stopping.abort();
    this.#stopping = new AbortController();
  }

  async diff(ask: DiffAsk, gone: AbortSignal): Promise<LayerBlob> {
    const mediaType = ask.mediaType === '' ? USUAL_LAYER : ask.mediaType;
    compressionOf(mediaType);
    // Of a lowest layer BuildKit says so.
    const left = ask.left.length === 0 ? undefined : this.#deviceOf(ask.left);
    const right = this.#deviceOf(ask.right);
    const signal = AbortSignal.any([gone, this.#stopping.signal]);
    const process = new LayerProcess();
    try {
      return await this.#looking({ left, right }, process.pid, (compared) => {
        const { ref, labels, epoch, scope } = ask;
        const containerd = this.#containerd;
        return process.make({ ...compared, mediaType, ref, labels, epoch, containerd, scope }, signal);
      });
    } finally {
      await process.end();
    }
  }

  /**
   * While the process `reader` looks at both devices, they stay mounted, even if their snapshots are removed.
   */
  async #looking<T>(
    { left, right }: { readonly left: DeviceName | undefined; readonly right: DeviceName },
    reader: number,
    work: (compared: Pick<LayerTask, 'before' | 'after' | 'changed'>) => Promise<T>,
  ): Promise<T> {
    const { locks, mounts, devices } = this.#served;
    const names = left === undefined ? [right] : [left, right];
    const opened: DeviceName[] = [];
    try {
      const { before, after, metadata } = await locks.run(names, async () => {
        for (const name of names) {
          await mounts.openView(devices.require(name), reader);
          opened.push(name);
        }
        const both = {
          before: left === undefined ? undefined : this.#sideOf(left),
          after: this.#sideOf(right),
        };
        this.#requireMadeFrom(both.after, both.before);
        return { ...both, metadata: await this.#frozen(both.after) };
      });
      const changed = await changedIn(metadata, before, after).finally(() => metadata.close());
      return await work({ before, after, changed });
    } finally {
      for (const name of opened)
        await locks.run([name], () => mounts.closeView(name, reader)).catch(() => undefined);
    }
  }

  #requireMadeFrom(after: Side, before: Side | undefined): void {
    if (before === undefined || isMadeFrom(this.#index, after.record, before.record.parent)) return;
    throw new ThinError(
      'unsupported',
      `device ${after.device} does not descend from the snapshot that ${before.device} shows`,
    );
  }

  /** With all that was written to the filesystem, its log included, at its place on the device. */
  async #frozen({ image, readOnly }: Side): Promise<FrozenMetadata> {
    const { host, pool } = this.#served;
    const freeze = (): Promise<FrozenMetadata> => pool.tools.freeze();
    const metadata = readOnly ? await freeze() : await host.frozen(image, freeze);
    if (!metadata.isBehind) return metadata;
    await metadata.close();
    throw new ThinError(
      'unsupported',
      'the disk of the pool is full, so its last changes cannot be compared',
    );
  }

  #sideOf(name: DeviceName): Side {
    const { mounts, active, devices } = this.#served;
    const mounted = mounts.of(name);
    const shown = (mounted?.view ?? name) as DeviceName;
    const image = active.pathOf(shown);
    const record = unpackSnapshotRecord(devices.require(name).label, name);
    if (mounted === undefined || image === undefined || record === undefined || mounted.lacks !== undefined)
      throw new ThinError('unsupported', `device ${name} does not show all of a snapshot`);
    return { device: name, shown, image, root: mounted.target, readOnly: mounted.readOnly, record };
  }

  /** The device that these mounts are of, as `SnapshotMounts` gives them. */
  #deviceOf(given: readonly MountMessage[]): DeviceName {
    const [mount, ...more] = given;
    const isPlain =
      mount?.type === 'bind' && more.length === 0 && mount.options.every((option) => PLAIN.has(option));
    const { mounts } = this.#served;
    const found = isPlain
      ? mounts.names().find((name) => mounts.of(name)?.target === mount.source)
      : undefined;
    if (found !== undefined) return found;
    const shown = given.map(({ type, source, options }) => `${type} ${source} (${options.join(',')})`);
    throw new ThinError(
      'unsupported',
      `${shown.join(', ') || 'nothing'} is no bind mount of one of the pool's snapshots`,
    );
  }
}

/** Owners that a mount maps would be others in the layer. */
const PLAIN = new Set(['bind', 'rbind', 'ro', 'rw']);

/** Undefined: all, or too many places to tell, so that each file is compared. */
async function changedIn(
  metadata: FrozenMetadata,
  before: Side | undefined,
  after: Side,
): Promise<readonly ByteRange[] | undefined> {
  if (before === undefined) return undefined;
  try {
    return await changedRanges(metadata, before.shown, after.shown);
  } catch (error) {
    if (toThinError(error).code === 'too-large') return undefined;
    throw error;
  }
}
