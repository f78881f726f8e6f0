import type { DataReader } from './block-reader.js';
import { DeviceImage, lostDevice } from './device-image.js';
import { deviceSize } from './device-size.js';
import { PROBE_BYTES, probeFilesystem, type ProbedFilesystem } from './filesystem-probe.js';
import type { LegacyPool } from './legacy-pool.js';
import type { LegacyTree } from './legacy-tree.js';
import type { NamedDevice } from './named-devices.js';

/** A device with all that is needed to read it. */
export interface OpenedDevice {
  readonly named: NamedDevice;
  readonly tree: LegacyTree;
  /** Bytes. */
  readonly size: number;
  readonly filesystem: ProbedFilesystem | undefined;
  readonly image: DeviceImage;
}

export interface OpenDeviceOptions {
  /** Bytes; what the user says. */
  readonly size?: number | undefined;
  readonly skipDamaged: boolean;
}

/** Errors: damaged (the way to its first and last block, without `skipDamaged`), invalid-argument (the size). */
export async function openDevice(
  pool: LegacyPool,
  data: DataReader,
  named: NamedDevice,
  options: OpenDeviceOptions,
): Promise<OpenedDevice> {
  const { device, label } = named;
  const { tree } = device;
  if (tree === undefined) throw lostDevice(label);
  const filesystem = await probe(pool, data, named, options.skipDamaged);
  const { blockSize } = pool.superblock;
  const size = deviceSize(label, {
    asked: options.size,
    recorded: named.docker?.size,
    filesystem: filesystem?.size,
    lastBlock: options.skipDamaged ? lastSoundBlock(tree) : tree.lastKey(),
    blockSize,
  });
  return {
    named,
    tree,
    size,
    filesystem,
    image: imageOf(pool, data, named, tree, size, options.skipDamaged),
  };
}

/** What is at the device's start, whatever its size. Undefined where it cannot be read, too. */
async function probe(
  pool: LegacyPool,
  data: DataReader,
  named: NamedDevice,
  skipDamaged = true,
): Promise<ProbedFilesystem | undefined> {
  const { tree } = named.device;
  if (tree === undefined) return undefined;
  const start = Buffer.alloc(PROBE_BYTES);
  const image = imageOf(pool, data, named, tree, PROBE_BYTES, true);
  try {
    await image.read(0, start);
  } catch (error) {
    if (!skipDamaged) throw error;
    return undefined;
  }
  return probeFilesystem(start);
}

function imageOf(
  pool: LegacyPool,
  data: DataReader,
  { device, label }: NamedDevice,
  tree: LegacyTree,
  size: number,
  skipDamaged: boolean,
): DeviceImage {
  const { blockSize } = pool.superblock;
  return new DeviceImage({
    name: label,
    tree,
    data,
    blockSize,
    dataBlocks: pool.dataBlocks,
    size,
    mappedBytes: Number(device.details?.mappedBlocks ?? 0n) * blockSize,
    skipDamaged,
  });
}

/** Where the last leaf is lost, the last one that is not. */
function lastSoundBlock(tree: LegacyTree): number | undefined {
  let last: number | undefined;
  for (const { node, end } of tree.leaves({ onLost: () => undefined })) last = node.keys[end - 1];
  return last;
}
