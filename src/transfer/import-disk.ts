import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { systemErrorCode, ThinError, toThinError } from '../errors/thin-error.js';
import type { Progress } from '../host/archive.js';
import { saidBy, type Exec } from '../host/exec.js';
import type { PoolAccess } from './pool-access.js';
import { PoolTarget } from './pool-target.js';

export const DISK_FORMATS = ['raw', 'qcow2'] as const;
export type DiskFormat = (typeof DISK_FORMATS)[number];

const QCOW_MAGIC = 'QFI\xfb';
const SECTOR = 512;

/** Of `qemu-img info --output=json`. */
const imageInfo = z.object({
  'virtual-size': z.number().int().min(0),
  'backing-filename': z.string().optional(),
  'format-specific': z
    .object({ data: z.object({ 'data-file': z.string().optional() }).optional() })
    .optional(),
});

export interface DiskRequest {
  readonly name: string;
  /** Bytes; at least the disk's. Default: the disk's. */
  readonly size?: number | undefined;
  /** Default: snapshot. */
  readonly kind?: 'image' | 'snapshot' | undefined;
}

export interface ImportedDisk {
  readonly name: string;
  readonly format: DiskFormat;
  /** Bytes. */
  readonly size: number;
}

/** An image of a disk, as machines have them, that becomes a device. qemu-img reads it. */
export class DiskImage {
  readonly #exec: Exec;
  readonly #file: string;
  readonly format: DiskFormat;
  /** Bytes, a multiple of 512. */
  readonly size: number;

  private constructor(exec: Exec, file: string, format: DiskFormat, size: number) {
    this.#exec = exec;
    this.#file = file;
    this.format = format;
    this.size = size;
  }

  /**
   * Looks at the file before anything is made. Without a format it is told by its first bytes. Errors:
   * not-found, permission, invalid-argument (nothing in it; a qcow2 that reads other files), missing-tool,
   * damaged (no qcow2).
   */
  static async at(exec: Exec, given: string, format?: DiskFormat): Promise<DiskImage> {
    const file = path.resolve(given);
    const kind = format ?? (await formatOf(file));
    const info = await infoOf(exec, file, kind);
    const other = info['backing-filename'] ?? info['format-specific']?.data?.['data-file'];
    // The maker of the image chose that name, and it may be any file of this host.
    if (other !== undefined)
      throw new ThinError(
        'invalid-argument',
        `${file} is only complete with ${other}; join both with: qemu-img convert -O qcow2 ${file} WHOLE.qcow2`,
        { details: { path: file } },
      );
    const size = Math.ceil(info['virtual-size'] / SECTOR) * SECTOR;
    if (size === 0)
      throw new ThinError('invalid-argument', `${file} is empty, so it is not an image of a disk`, {
        details: { path: file },
      });
    return new DiskImage(exec, file, kind, size);
  }

  /**
   * Makes the device: all of it or nothing. What is zeroes in the image takes no space. Errors: exists,
   * invalid-argument (smaller than the disk), no-space, tool-failed, closed.
   */
  async into(
    access: PoolAccess,
    { name, size = this.size, kind = 'snapshot' }: DiskRequest,
    options: {
      readonly signal?: AbortSignal | undefined;
      readonly onProgress?: ((progress: Progress) => void) | undefined;
      readonly onNote?: ((text: string) => void) | undefined;
    } = {},
  ): Promise<ImportedDisk> {
    const { signal, onNote } = options;
    if (size < this.size)
      throw new ThinError(
        'invalid-argument',
        `${this.#file} is a disk of ${this.size} bytes, and a device of ${size} bytes cannot hold it; leave --size out`,
      );
    const target = new PoolTarget(access);
    const { baseFilesystem } = await access.call('pool.info', {});
    await target.create({
      ...{ name, size, kind, origin: undefined, filesystem: baseFilesystem, content: 'raw' },
    });
    try {
      await this.#fill(access, name, options);
      signal?.throwIfAborted();
      await target.finish({ name, kind });
      return { name, format: this.format, size };
    } catch (error) {
      await target.remove(name).catch((failure: unknown) => {
        onNote?.(`${name} could not be removed again: ${toThinError(failure).message}`);
      });
      throw signal?.aborted === true && signal.reason instanceof ThinError ? signal.reason : error;
    }
  }

  async #fill(
    access: PoolAccess,
    name: string,
    {
      signal,
      onProgress,
    }: {
      readonly signal?: AbortSignal | undefined;
      readonly onProgress?: ((progress: Progress) => void) | undefined;
    },
  ): Promise<void> {
    const bytes = await access.open(name, { write: true });
    try {
      if (bytes.path === undefined)
        throw new ThinError(
          'unsupported',
          'qemu-img writes to an image file, and a pool that is open in this process has none; use a daemon for that',
        );
      const args = ['convert', '-n', '--target-is-zero', '-p', '-f', this.format, '-O', 'raw'];
      await this.#exec.run('qemu-img', [...args, this.#file, bytes.path], {
        signal,
        onStdout: (piece) => {
          const percent = /\(([\d.]+)\/100%\)[^(]*$/.exec(piece.toString('latin1'))?.[1];
          if (percent !== undefined)
            onProgress?.({ done: Math.round((Number(percent) / 100) * this.size), total: this.size });
        },
      });
      await bytes.sync();
    } catch (error) {
      throw explained(error, name);
    } finally {
      await bytes.close();
    }
  }
}

async function formatOf(file: string): Promise<DiskFormat> {
  try {
    if ((await stat(file)).isDirectory())
      throw new ThinError('invalid-argument', `${file} is a folder, not an image of a disk`, {
        details: { path: file },
      });
    const handle = await open(file);
    try {
      const { bytesRead, buffer } = await handle.read(
        Buffer.alloc(QCOW_MAGIC.length),
        0,
        QCOW_MAGIC.length,
        0,
      );
      return buffer.toString('latin1', 0, bytesRead) === QCOW_MAGIC ? 'qcow2' : 'raw';
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = systemErrorCode(error);
    const options = { cause: error, details: { path: file } };
    if (code === 'ENOENT') throw new ThinError('not-found', `there is no ${file}; check the path`, options);
    if (code === 'EACCES') throw new ThinError('permission', `${file} may not be read; run as root`, options);
    throw error;
  }
}

async function infoOf(exec: Exec, file: string, format: DiskFormat): Promise<z.infer<typeof imageInfo>> {
  try {
    const args = ['info', '--output=json', '--force-share', '-f', format, file];
    return imageInfo.parse(JSON.parse((await exec.run('qemu-img', args)).stdout));
  } catch (error) {
    const options = { cause: error, details: { path: file } };
    if (saidBy(error, /no such file/i))
      throw new ThinError('not-found', `there is no ${file}; check the path`, options);
    if (saidBy(error, /not in qcow2 format|could not open/i))
      throw new ThinError(
        'damaged',
        `${file} cannot be read as ${format}: ${toThinError(error).message}`,
        options,
      );
    throw error;
  }
}

function explained(error: unknown, name: string): unknown {
  if (!saidBy(error, /no space left on device/i)) return error;
  return new ThinError(
    'no-space',
    `the pool ran full while ${name} was imported, and the device is removed again; extend the pool: thinfuse extend`,
    { cause: error, details: { device: name } },
  );
}
