import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';

/**
 * Device-mapper devices that stand on a file (through a loop device) or on a block device, or on a partition
 * of it: a pool that may be running.
 */
export async function deviceMapperHolders(file: string): Promise<readonly string[]> {
  const found = await stat(file).catch(() => undefined);
  if (found === undefined) return [];
  if (!found.isBlockDevice()) return holdersOf(await loopsOn(file));
  const real = await realpath(file);
  return holdersOf([path.basename(real)]);
}

async function loopsOn(file: string): Promise<readonly string[]> {
  const real = await realpath(file);
  const names = (await readdir('/sys/block').catch(() => [])).filter((name) => name.startsWith('loop'));
  const backing = await Promise.all(
    names.map((name) => readFile(`/sys/block/${name}/loop/backing_file`, 'utf8').catch(() => '')),
  );
  return names.filter((_, index) => backing[index]?.trim() === real);
}

async function holdersOf(devices: readonly string[]): Promise<readonly string[]> {
  const holders = await Promise.all(
    devices.map(async (device) => {
      const entries = await readdir(`/sys/class/block/${device}`).catch(() => []);
      // A partition is a folder in that of its disk, and begins with its name.
      const folders = ['', ...entries.filter((entry) => entry.startsWith(device))];
      return Promise.all(
        folders.map((folder) =>
          readdir(path.join('/sys/class/block', device, folder, 'holders')).catch(() => []),
        ),
      );
    }),
  );
  return holders.flat(2);
}

/** Errors: busy (device mapper has the file or device open). */
export async function requireUnused(file: string): Promise<void> {
  const holders = await deviceMapperHolders(file);
  if (holders.length > 0)
    throw new ThinError('busy', `${file} is in use by ${holders.join(', ')}; stop the pool first`);
}
