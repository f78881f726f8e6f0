import { mkdir, open, readdir, rename, rm, rmdir, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { DeviceStatus } from '../api/operations.js';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import type { Exec } from '../host/exec.js';
import { kernelMetadataSize } from '../thin-tools/kernel-metadata.js';
import type { ExportOptions } from './export-device.js';
import { outputError } from './output-file.js';
import { isPassing } from '../format/passing-name.js';
import type { PoolAccess } from './pool-access.js';
import { PoolWriter } from './pool-writer.js';
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
  ): Promise<readonly ExportedDevice[]> {
    const part = path.join(path.dirname(this.folder), `.${path.basename(this.folder)}.${process.pid}.part`);
    try {
      await mkdir(part, { mode: 0o700 });
      const devices = await this.#writeInto(part, access, options);
      await rmdir(this.folder).catch(() => undefined);
      await rename(part, this.folder);
      return devices;
    } catch (error) {
      await rm(part, { recursive: true, force: true });
      throw outputError(error, this.folder);
    }
  }

  async #writeInto(
    folder: string,
    access: PoolAccess,
    { signal, onProgress }: Pick<ExportOptions, 'signal' | 'onProgress'>,
  ): Promise<readonly ExportedDevice[]> {
    const info = await access.call('pool.info', {});
    const devices = (await access.call('device.list', {})).filter(
      ({ name, deleted, maker }) => !deleted && maker === '' && !isPassing(name),
    );
    const xml = path.join(folder, 'metadata.xml');
    const [data, text] = [await open(path.join(folder, 'data'), 'wx', 0o600), await open(xml, 'wx', 0o600)];
    let mappings: number;
    try {
      let done = 0;
      const onBytes = (bytes: number): void => {
        done += bytes;
        onProgress?.({ done, total: Math.max(done, info.dataUsed) });
      };
      const writer = new PoolWriter(info, { data, xml: text, onBytes, signal });
      for (const { name } of devices)
        await withStill(access, name, async (still) => {
          signal?.throwIfAborted();
          await writer.device(still, await access.call('device.get', { name: still.name }));
        });
      await writer.end(await access.call('pool.info', {}));
      await data.sync();
      mappings = writer.mappings;
    } finally {
      await data.close();
      await text.close();
    }
    const sizes = { devices: devices.length, mappings, chunks: info.dataTotal / info.blockSize };
    await this.#restore(xml, path.join(folder, 'metadata'), kernelMetadataSize(sizes), signal);
    await rm(xml);
    const rows = devices.map(rowOf);
    await writeFile(path.join(folder, 'devices.json'), `${JSON.stringify(rows, null, 2)}\n`);
    return rows;
  }

  async #restore(
    xml: string,
    metadata: string,
    bytes: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    await writeFile(metadata, '', { mode: 0o600 });
    await truncate(metadata, bytes);
    await this.#exec.run('thin_restore', ['--quiet', '-i', xml, '-o', metadata], { signal });
  }
}

async function refuseTaken(folder: string): Promise<void> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw new ThinError('exists', `${folder} is there and no folder; name one that is not there`, {
      cause: error,
      details: { path: folder },
    });
  });
  if (names.length > 0)
    throw new ThinError('not-empty', `${folder} is not empty; name a folder that is not there`, {
      details: { path: folder },
    });
}

function rowOf({ id, name, kind, originName, size, filesystem }: DeviceStatus): ExportedDevice {
  return { id, name, kind, origin: originName ?? null, size, sectors: size / SECTOR, filesystem };
}
