import { mkdir, open, readdir, rename, rm, rmdir, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { formatBinarySize } from '../config/sizes.js';
import type { Caller, DeviceStatus } from '../api/operations.js';
import { formatTable } from '../docker/table.js';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { ChildProcessExec } from '../host/exec.js';
import { kernelMetadataSize } from '../thin-tools/kernel-metadata.js';
import { outputError } from '../transfer/output-file.js';
import { withDevices } from './connect.js';
import type { Context } from './context.js';
import { interruptible } from './interrupt.js';
import { printResult } from './output.js';
import { isPassing } from './passing-devices.js';
import { PoolWriter } from './pool-writer.js';
import { withProgress } from './progress.js';
import { withStill } from './still-device.js';

/** As dmsetup counts. */
const SECTOR = 512;

/**
 * Writes the pool as a kernel's dm-thin has it: `metadata`, `data`, and `devices.json` with the names and sizes that the metadata has no
 * place for. The folder appears whole or not at all.
 * Errors: exists, not-empty, not-found (the folder above), no-space, permission, io, missing-tool, damaged, closed.
 */
export async function exportPool(context: Context, output: string): Promise<void> {
  const folder = path.resolve(output);
  const part = path.join(path.dirname(folder), `.${path.basename(folder)}.${process.pid}.part`);
  await refuseTaken(folder);
  const devices = await interruptible((signal) =>
    withDevices(context, async (caller) => {
      try {
        await mkdir(part, { mode: 0o700 });
        const written = await writePool(context, caller, part, signal);
        await rmdir(folder).catch(() => undefined);
        await rename(part, folder);
        return written;
      } catch (error) {
        await rm(part, { recursive: true, force: true });
        throw outputError(error, folder);
      }
    }),
  );
  printResult(context, { output: folder, devices: devices.map(rowOf) }, table(devices));
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

async function writePool(
  context: Context,
  caller: Caller,
  folder: string,
  signal: AbortSignal,
): Promise<readonly DeviceStatus[]> {
  const info = await caller.call('pool.info', {});
  const devices = (await caller.call('device.list', {})).filter(
    ({ name, deleted, maker }) => !deleted && maker === '' && !isPassing(name),
  );
  const xml = path.join(folder, 'metadata.xml');
  const mappings = await withProgress(context, 'exporting', async (onProgress) => {
    const [data, text] = [await open(path.join(folder, 'data'), 'wx', 0o600), await open(xml, 'wx', 0o600)];
    let done = 0;
    const onBytes = (bytes: number): void => {
      done += bytes;
      onProgress?.({ done, total: Math.max(done, info.dataUsed) });
    };
    try {
      const writer = new PoolWriter(info, { data, xml: text, onBytes, signal });
      for (const { name } of devices)
        await withStill(caller, name, async (still) => {
          signal.throwIfAborted();
          await writer.device(still, await caller.call('device.get', { name: still.name }));
        });
      await writer.end(await caller.call('pool.info', {}));
      await data.sync();
      return writer.mappings;
    } finally {
      await data.close();
      await text.close();
    }
  });
  await writeMetadata(
    xml,
    path.join(folder, 'metadata'),
    kernelMetadataSize({ devices: devices.length, mappings, chunks: info.dataTotal / info.blockSize }),
    signal,
  );
  await rm(xml);
  await writeFile(path.join(folder, 'devices.json'), `${JSON.stringify(devices.map(rowOf), null, 2)}\n`);
  return devices;
}

/** Errors: missing-tool, tool-failed, closed. */
async function writeMetadata(
  xml: string,
  metadata: string,
  bytes: number,
  signal: AbortSignal,
): Promise<void> {
  await writeFile(metadata, '', { mode: 0o600 });
  await truncate(metadata, bytes);
  await new ChildProcessExec().run('thin_restore', ['--quiet', '-i', xml, '-o', metadata], { signal });
}

function rowOf({
  id,
  name,
  kind,
  originName,
  size,
  filesystem,
}: DeviceStatus): Readonly<Record<string, unknown>> {
  return { id, name, kind, origin: originName ?? null, size, sectors: size / SECTOR, filesystem };
}

function table(devices: readonly DeviceStatus[]): string {
  return formatTable(
    [
      { title: 'ID', right: true },
      { title: 'NAME' },
      { title: 'SIZE', right: true },
      { title: 'SECTORS', right: true },
    ],
    devices.map(({ id, name, size }) => [String(id), name, formatBinarySize(size), String(size / SECTOR)]),
  );
}
