/**
 * A process that serves a disk which can lose its power, as the file `disk` in a folder:
 * `power-disk.ts FOLDER BYTES|IMAGE`. Its parent speaks with it over IPC.
 */
import { KernelTransport } from '../../src/fuse/kernel-transport.js';
import { MemoryDirectory } from '../../src/testing/memory-image.js';
import { PowerImage } from './power-image.js';

/** To the disk. */
export interface DiskOrder {
  readonly to: string;
  readonly seed: number;
}

/** From the disk: first that it serves, then one for each order. */
export type DiskReport =
  { readonly kind: 'serving' } | { readonly kind: 'cut'; readonly unsynced: number; readonly kept: number };

const [folder = '', what = ''] = process.argv.slice(2);
const image = /^\d+$/.test(what) ? new PowerImage(Number(what)) : PowerImage.from(what);
const directory = new MemoryDirectory();
directory.files.set('disk', image);
await new KernelTransport(folder, directory).mount();
process.on('message', ({ to, seed }: DiskOrder) => report({ kind: 'cut', ...image.cut(to, seed) }));
report({ kind: 'serving' });

function report(message: DiskReport): void {
  process.send?.(message);
}
