import { ThinError } from '../errors/thin-error.js';
import type { ImageFile } from '../io/image-file.js';
import { DeviceImage, lostDevice, type OriginImage } from './device-image.js';
import { deviceSize } from './device-size.js';
import type { DiskReader } from './disk-reader.js';
import { PROBE_BYTES, probeFilesystem, type ProbedFilesystem } from './filesystem-probe.js';
import type { LegacyPool } from './legacy-pool.js';
import type { LegacyTree } from './legacy-tree.js';
import { LostData } from './lost-data.js';
import { dataBlockOf } from './mapping-value.js';
import type { NamedDevice } from './named-devices.js';

/** A device or an ordinary volume with all that is needed to read it. */
export interface OpenedDevice {
  readonly label: string;
  /** A thin device's id; undefined of an ordinary volume. */
  readonly number: number | undefined;
  /** Bytes. */
  readonly size: number;
  readonly filesystem: ProbedFilesystem | undefined;
  readonly image: ImageFile;
  /**
   * What was read as zeroes because it cannot be read; grows while the device is. Empty for ever unless
   * damage is skipped.
   */
  readonly lost: LostData;
}

/** A thin device. */
export interface OpenedThinDevice extends OpenedDevice {
  readonly tree: LegacyTree;
}

export interface OpenDeviceOptions {
  /** Bytes; what the user says. */
  readonly size?: number | undefined;
  readonly skipDamaged: boolean;
  /** What the device shows where it maps nothing. */
  readonly origin?: OriginImage | undefined;
}

/**
 * Errors: damaged (the way to its first and last block, without `skipDamaged`), invalid-argument (the size).
 */
export async function openDevice(
  pool: LegacyPool,
  data: DiskReader,
  named: NamedDevice,
  { size: asked, skipDamaged, origin }: OpenDeviceOptions,
): Promise<OpenedThinDevice> {
  const { device, label, volume } = named;
  const { tree } = device;
  if (tree === undefined) throw lostDevice(label);
  const { blockSize } = pool.superblock;
  const imageOf = (size: number, lost: LostData | undefined): DeviceImage =>
    new DeviceImage({
      name: label,
      tree,
      data,
      blockSize,
      dataBlocks: pool.dataBlocks,
      size,
      mappedBytes: Number(device.details?.mappedBlocks ?? 0n) * blockSize,
      origin,
      lost,
    });
  const first = origin === undefined ? probeFirst(tree, data, pool) : 'unknown';
  const filesystem = first === 'unknown' ? await probe(imageOf(PROBE_BYTES, new LostData())) : first;
  const size = deviceSize(label, {
    asked,
    exact: volume?.size,
    recorded: named.docker?.size,
    filesystem: filesystem?.size,
    lastBlock: skipDamaged ? lastSoundBlock(tree) : tree.lastKey(),
    blockSize,
  });
  const lost = new LostData();
  const image = imageOf(size, skipDamaged ? lost : undefined);
  return { label, number: device.id, tree, size, filesystem, image, lost };
}

/**
 * What is in a device's first block, read at once: a read that is waited for costs many times as much, and
 * `ls` asks thousands of devices. Unknown where not all of it can be read.
 */
function probeFirst(
  tree: LegacyTree,
  data: DiskReader,
  { superblock: { blockSize }, dataBlocks }: LegacyPool,
): ProbedFilesystem | 'unknown' | undefined {
  try {
    const value = tree.lookup(0);
    if (value === undefined) return undefined;
    const block = dataBlockOf(value.readUInt32LE(0), value.readUInt32LE(4));
    return block < dataBlocks ? probeFilesystem(data.readSync(block * blockSize, PROBE_BYTES)) : 'unknown';
  } catch (error) {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    return 'unknown';
  }
}

/** What is at a device's start. Undefined where it cannot be read, too. */
export async function probe(image: ImageFile): Promise<ProbedFilesystem | undefined> {
  if (image.size < PROBE_BYTES) return undefined;
  const start = Buffer.alloc(PROBE_BYTES);
  try {
    await image.read(0, start);
  } catch (error) {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    return undefined;
  }
  return probeFilesystem(start);
}

/** Where the last leaf is lost, the last one that is not. */
function lastSoundBlock(tree: LegacyTree): number | undefined {
  let last: number | undefined;
  for (const { node, end } of tree.leaves({ onLost: () => undefined })) last = node.keys[end - 1];
  return last;
}
