import { randomInt } from 'node:crypto';
import { mkdtemp, open, rm, stat, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ThinError } from '../../errors/thin-error.js';
import type { Exec } from '../../host/exec.js';
import { isZero } from '../../format/is-zero.js';
import type { ExportOptions } from '../../transfer/export-device.js';
import { restoreWritten, writePool, type WrittenPool } from '../../transfer/export-pool.js';
import { outputError, writeAll, writeOutput } from '../../transfer/output-file.js';
import type { PoolAccess } from '../../transfer/pool-access.js';
import { SourceFile } from '../source-file.js';
import { lvmName, thinGroupText, type ThinGroupText } from './group-text.js';
import { packMetadataArea } from './metadata-area.js';
import { packPvLabel } from './pv-label.js';

/** LVM's own default. */
const EXTENT = 4 * 2 ** 20;
/** Where extents begin, unless the text needs more. */
const ALIGNMENT = 2 ** 20;
const AREA_BEGIN = 4096;
const ID_CHARACTERS = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789';
const PIECE = 4 * 2 ** 20;

/** A device of the pool, and the volume that it is now. */
export interface ExportedVolume {
  readonly id: number;
  readonly name: string;
  readonly volume: string;
  /** Bytes of the volume: those of the device, up to whole extents. */
  readonly size: number;
}

export interface GroupExportOptions extends Pick<ExportOptions, 'signal' | 'onProgress'> {
  /** What the group is called. */
  readonly group: string;
}

/** The whole pool as a disk of LVM: a group with a thin pool, and every device as a thin volume. */
export class GroupExport {
  readonly #exec: Exec;

  constructor(exec: Exec) {
    this.#exec = exec;
  }

  /**
   * Into a file, which appears whole or not at all, or on a block device without content. Errors:
   * not-empty (the device holds something), too-large (for the device), not-found, no-space, permission, io,
   * missing-tool, damaged, closed.
   */
  async write(
    access: PoolAccess,
    output: string,
    options: GroupExportOptions,
  ): Promise<readonly ExportedVolume[]> {
    const found = await stat(output).catch(() => undefined);
    if (found?.isBlockDevice() !== true)
      return writeOutput(output, (_part, handle) =>
        this.#fill(access, { path: output, handle, size: undefined }, options),
      );
    const size = requireBlank(output);
    let handle: FileHandle | undefined;
    try {
      handle = await open(output, 'r+');
      const volumes = await this.#fill(access, { path: output, handle, size }, options);
      await handle.sync();
      return volumes;
    } catch (error) {
      throw outputError(error, output);
    } finally {
      await handle?.close();
    }
  }

  async #fill(
    access: PoolAccess,
    { path: disk, handle, size }: { path: string; handle: FileHandle; size: number | undefined },
    options: GroupExportOptions,
  ): Promise<readonly ExportedVolume[]> {
    const devices = await access.call('device.list', {});
    // The text is written last, and its room is kept before the data: about 600 bytes describe a volume, and
    // LVM writes its next text after it.
    const extentsBegin = roundUp(AREA_BEGIN + 2 * 1024 * (devices.length + 16), ALIGNMENT);
    const { dataTotal } = await access.call('pool.info', {});
    if (size !== undefined && size < extentsBegin + dataTotal) throw tooSmall(disk, size, dataTotal);
    const folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-lvm-'));
    try {
      const xml = path.join(folder, 'metadata.xml');
      const metadata = path.join(folder, 'metadata');
      const written = await writePool(access, { data: handle, dataBegin: extentsBegin, xml }, options);
      const bytes = await restoreWritten(this.#exec, written, xml, metadata, options.signal);
      const group = describe(written, {
        disk,
        size,
        extentsBegin,
        metadataBytes: bytes,
        name: options.group,
      });
      const whole = group.text.disk.size;
      if (size !== undefined && size < whole) throw tooSmall(disk, size, whole);
      if (size === undefined) await handle.truncate(whole);
      await copySparse(metadata, handle, extentsBegin + group.text.pool.metadata.extent * EXTENT);
      await handle.sync();
      const area = { begin: AREA_BEGIN, size: extentsBegin - AREA_BEGIN };
      await writeAll(handle, area.begin, packMetadataArea(area, thinGroupText(group.text)));
      const label = { id: group.text.disk.id, deviceSize: whole, metadataAreas: [area] };
      await writeAll(handle, 0, packPvLabel(label, extentsBegin));
      return group.volumes;
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

function describe(
  { info, devices }: WrittenPool,
  place: {
    readonly disk: string;
    readonly size: number | undefined;
    readonly extentsBegin: number;
    readonly metadataBytes: number;
    readonly name: string;
  },
): { readonly text: ThinGroupText; readonly volumes: readonly ExportedVolume[] } {
  const dataExtents = Math.ceil(info.dataTotal / EXTENT);
  const metadataExtents = Math.ceil(place.metadataBytes / EXTENT);
  const used = dataExtents + 2 * metadataExtents;
  const size = place.size ?? place.extentsBegin + used * EXTENT;
  const taken = new Set<string>(['lvol0_pmspare']);
  const names = new Map(devices.map(({ name }) => [String(name), lvmName(name, taken)]));
  const volumes = devices.map((device) => {
    const extents = Math.ceil(device.size / EXTENT);
    const volume = names.get(device.name)!;
    const origin = device.originName === undefined ? undefined : names.get(device.originName);
    return { device, extents, volume, origin };
  });
  const text: ThinGroupText = {
    name: place.name,
    id: makeId(),
    extentSize: EXTENT,
    disk: {
      id: makeId(),
      path: place.disk,
      size: size - (size % 512),
      extentsBegin: place.extentsBegin,
      extents: Math.floor((size - place.extentsBegin) / EXTENT),
    },
    pool: {
      name: lvmName('pool', taken),
      ids: { pool: makeId(), data: makeId(), metadata: makeId(), spare: makeId() },
      chunkSize: info.blockSize,
      transactionId: info.transactionId,
      data: { extent: 0, extents: dataExtents },
      metadata: { extent: dataExtents, extents: metadataExtents },
      spare: { extent: dataExtents + metadataExtents, extents: metadataExtents },
    },
    volumes: volumes.map(({ device, extents, volume, origin }) => ({
      name: volume,
      id: makeId(),
      extents,
      deviceId: device.id,
      origin,
    })),
    createdAt: Math.floor(Date.now() / 1000),
  };
  return {
    text,
    volumes: volumes.map(({ device, extents, volume }) => ({
      id: device.id,
      name: device.name,
      volume,
      size: extents * EXTENT,
    })),
  };
}

/** Bytes of a block device that begins with zeroes. Errors: not-empty; as `SourceFile`. */
function requireBlank(device: string): number {
  const disk = new SourceFile(device, '--output');
  try {
    if (!isZero(disk.readSync(0, Math.min(disk.size, ALIGNMENT))))
      throw new ThinError(
        'not-empty',
        `${device} is not empty; if it is the right device, empty it first: wipefs --all ${device} && blkdiscard --zeroout --length 1M ${device}`,
        { details: { path: device } },
      );
    return disk.size;
  } finally {
    disk.close();
  }
}

/** Nothing but zeroes is left out: the place is a hole, or a device of unknown content. */
async function copySparse(from: string, to: FileHandle, at: number): Promise<void> {
  const source = await open(from);
  try {
    const isFile = (await to.stat()).isFile();
    const buffer = Buffer.alloc(PIECE);
    for (let offset = 0; ;) {
      const { bytesRead } = await source.read(buffer, 0, PIECE, offset);
      if (bytesRead === 0) return;
      const bytes = buffer.subarray(0, bytesRead);
      if (!isFile || !isZero(bytes)) await writeAll(to, at + offset, bytes);
      offset += bytesRead;
    }
  } finally {
    await source.close();
  }
}

function tooSmall(disk: string, has: number, needed: number): ThinError {
  return new ThinError(
    'too-large',
    `the pool needs ${needed} bytes with its metadata, and ${disk} has ${has}; take a larger disk, or a file`,
    { details: { path: disk } },
  );
}

function makeId(): string {
  return Array.from({ length: 32 }, () => ID_CHARACTERS[randomInt(ID_CHARACTERS.length)]).join('');
}

function roundUp(value: number, unit: number): number {
  return Math.ceil(value / unit) * unit;
}
