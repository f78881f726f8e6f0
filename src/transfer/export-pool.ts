import { mkdir, open, readdir, rename, rm, rmdir, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { DeviceStatus, Incompleteness } from '../api/operations.js';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import type { Exec } from '../host/exec.js';
import type { PoolInfo } from '../pool/info.js';
import { kernelMetadataSize } from '../thin-tools/kernel-metadata.js';
import type { ExportOptions } from './export-device.js';
import { outputError } from './output-file.js';
import { isPassing } from '../format/passing-name.js';
import type { PoolAccess } from './pool-access.js';
import { PoolWriter, type PoolWriterParts } from './pool-writer.js';
import { withStill } from './still-device.js';

/** As dmsetup counts. */
const SECTOR = 512;

/** A device of an exported pool: what the kernel's metadata has no place for. */
export interface ExportedDevice {
  readonly id: number;
  readonly name: string;
  readonly kind: DeviceStatus['kind'];
  readonly origin: string | null;
  /** Bytes. */
  readonly size: number;
  /** The size as dmsetup counts. */
  readonly sectors: number;
  readonly filesystem: DeviceStatus['filesystem'];
}

export interface ExportedPool extends Incompleteness {
  readonly devices: readonly ExportedDevice[];
}

/**
 * The pool as a kernel's dm-thin has it, in a folder: `metadata`, `data`, and `devices.json`
 * (`ExportedDevice`). The folder appears whole or not at all.
 */
export class PoolExport {
  readonly folder: string;
  readonly #exec: Exec;

  private constructor(folder: string, exec: Exec) {
    this.folder = folder;
    this.#exec = exec;
  }

  /** Errors: exists, not-empty. */
  static async to(output: string, exec: Exec): Promise<PoolExport> {
    const folder = path.resolve(output);
    await refuseTaken(folder);
    return new PoolExport(folder, exec);
  }

  /** Errors: not-found (the folder above), no-space, permission, io, missing-tool, damaged, closed. */
  async write(
    access: PoolAccess,
    options: Pick<ExportOptions, 'signal' | 'onProgress'> = {},
  ): Promise<ExportedPool> {
    const part = path.join(path.dirname(this.folder), `.${path.basename(this.folder)}.${process.pid}.part`);
    try {
      await mkdir(part, { mode: 0o700 });
      const exported = await this.#writeInto(part, access, options);
      await rmdir(this.folder).catch(() => undefined);
      await rename(part, this.folder);
      return exported;
    } catch (error) {
      await rm(part, { recursive: true, force: true });
      throw outputError(error, this.folder);
    }
  }

  async #writeInto(
    folder: string,
    access: PoolAccess,
    options: Pick<ExportOptions, 'signal' | 'onProgress'>,
  ): Promise<ExportedPool> {
    const xml = path.join(folder, 'metadata.xml');
    const data = await open(path.join(folder, 'data'), 'wx', 0o600);
    let written: WrittenPool;
    try {
      written = await writePool(access, { data, dataBegin: 0, xml }, options);
      await data.truncate(written.info.dataTotal);
      await data.sync();
    } finally {
      await data.close();
    }
    await restoreWritten(this.#exec, written, xml, path.join(folder, 'metadata'), options.signal);
    await rm(xml);
    const rows = written.devices.map(rowOf);
    await writeFile(path.join(folder, 'devices.json'), `${JSON.stringify(rows, null, 2)}\n`);
    return { devices: rows, lacks: written.info.lacks };
  }
}

/** What was written of a pool. */
export interface WrittenPool {
  readonly info: PoolInfo;
  readonly devices: readonly DeviceStatus[];
  /** Of all devices, those that are shared counted for each. */
  readonly mappings: number;
}

/**
 * Writes chunks into `data` and mappings into a file `xml`, which is made. Errors: damaged, io, no-space,
 * closed.
 */
export async function writePool(
  access: PoolAccess,
  { data, dataBegin, xml }: Pick<PoolWriterParts, 'data' | 'dataBegin'> & { readonly xml: string },
  { signal, onProgress }: Pick<ExportOptions, 'signal' | 'onProgress'>,
): Promise<WrittenPool> {
  const before = await access.call('pool.info', {});
  const devices = (await access.call('device.list', {})).filter(
    ({ name, deleted, maker }) => !deleted && maker === '' && !isPassing(name),
  );
  const text = await open(xml, 'wx', 0o600);
  try {
    let done = 0;
    const onBytes = (bytes: number): void => {
      done += bytes;
      onProgress?.({ done, total: Math.max(done, before.dataUsed) });
    };
    const writer = new PoolWriter(before, { data, dataBegin, xml: text, onBytes, signal });
    for (const { name } of devices)
      await withStill(access, name, async (still) => {
        signal?.throwIfAborted();
        await writer.device(still, await access.call('device.get', { name: still.name }));
      });
    const info = await access.call('pool.info', {});
    await writer.end(info);
    return { info, devices, mappings: writer.mappings };
  } finally {
    await text.close();
  }
}

/** The metadata of what was written, by thin_restore; with room to go on. Returns its size in bytes. */
export async function restoreWritten(
  exec: Exec,
  { info, devices, mappings }: WrittenPool,
  xml: string,
  metadata: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const chunks = info.dataTotal / info.blockSize;
  const bytes = kernelMetadataSize({ devices: devices.length, mappings, chunks });
  await writeFile(metadata, '', { mode: 0o600 });
  await truncate(metadata, bytes);
  await exec.run('thin_restore', ['--quiet', '-i', xml, '-o', metadata], { signal });
  return bytes;
}

async function refuseTaken(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw new ThinError('exists', `${folder} exists and is not a folder; name a new folder`, {
      cause: error,
      details: { path: folder },
    });
  });
  if (names.length > 0)
    throw new ThinError('not-empty', `${folder} is not empty; name a new folder`, {
      details: { path: folder },
    });
}

function rowOf({ id, name, kind, originName, size, filesystem }: DeviceStatus): ExportedDevice {
  return { id, name, kind, origin: originName ?? null, size, sectors: size / SECTOR, filesystem };
}
