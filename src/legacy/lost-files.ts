import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { toThinError } from '../errors/thin-error.js';
import { ChildProcessExec } from '../host/exec.js';
import type { LostBytes } from './lost-data.js';
import { withEmptyFolder } from '../transfer/rootfs.js';
import { mountDevice } from './mounted-device.js';
import type { OpenedOldDevice } from './old-device.js';

/** A file with zeroes in place of what was lost. Bytes of the file. */
export interface LostFile {
  readonly path: string;
  readonly ranges: readonly { readonly begin: number; readonly end: number }[];
}

/** Of filefrag's numbers. */
const SECTOR = 512;
/** Files that filefrag is asked about at once. */
const AT_ONCE = 128;
const EXTENT = /^\s*\d+:\s*(\d+)\.\.\s*(\d+):\s*(\d+)\.\.\s*\d+:/;
const FILE = /^File size of (.*) is \d+ \(\d+ blocks? of 512 bytes\)$/;

/**
 * The files that lie in ranges of a device, as its filesystem says. Undefined where it does not: it is none
 * that is known, or what is lost keeps it from being mounted.
 */
export async function filesIn(
  device: OpenedOldDevice,
  lost: readonly LostBytes[],
  onNote: (text: string) => void,
): Promise<readonly LostFile[] | undefined> {
  if (device.filesystem === undefined) return undefined;
  try {
    return await withEmptyFolder(async (folder) => {
      const mounted = await mountDevice(device, folder, 'kernel', onNote);
      try {
        return await searchFiles(mounted.target, lost, onNote);
      } finally {
        await mounted.unmount({ lazily: true });
        await mounted.end();
      }
    });
  } catch (error) {
    onNote(`which files of device ${device.label} that is cannot be told: ${toThinError(error).message}`);
    return undefined;
  }
}

async function searchFiles(
  root: string,
  lost: readonly LostBytes[],
  onNote: (text: string) => void,
): Promise<readonly LostFile[]> {
  const found: LostFile[] = [];
  let some: string[] = [];
  const look = async (): Promise<void> => {
    const files = some;
    some = [];
    if (files.length === 0) return;
    const { stdout } = await new ChildProcessExec().run('filefrag', ['-v', `-b${SECTOR}`, ...files], {
      okCodes: [0, 1],
    });
    found.push(...lostFiles(stdout, lost).map((one) => ({ ...one, path: path.relative(root, one.path) })));
  };
  for await (const file of filesBelow(root, onNote)) if (some.push(file) >= AT_ONCE) await look();
  await look();
  return found;
}

/** filefrag's answer names each file on a line of its own, and its extents below. */
function lostFiles(text: string, lost: readonly LostBytes[]): readonly LostFile[] {
  const found = new Map<string, { begin: number; end: number }[]>();
  let file = '';
  for (const line of text.split('\n')) {
    const extent = EXTENT.exec(line);
    if (extent === null) {
      file = FILE.exec(line)?.[1] ?? file;
      continue;
    }
    const [first, last, at] = [
      Number(extent[1]) * SECTOR,
      (Number(extent[2]) + 1) * SECTOR,
      Number(extent[3]) * SECTOR,
    ];
    for (const range of lost) {
      const begin = Math.max(range.begin, at);
      const end = Math.min(range.end, at + last - first);
      if (begin < end)
        found.set(file, [...(found.get(file) ?? []), { begin: begin - at + first, end: end - at + first }]);
    }
  }
  return [...found].map(([name, ranges]) => ({ path: name, ranges }));
}

async function* filesBelow(folder: string, onNote: (text: string) => void): AsyncGenerator<string> {
  let entries;
  try {
    entries = await readdir(folder, { withFileTypes: true });
  } catch (error) {
    onNote(`what is in the folder ${folder} cannot be told, because it is damaged itself (${String(error)})`);
    return;
  }
  for (const entry of entries) {
    const name = path.join(folder, entry.name);
    if (entry.isDirectory()) yield* filesBelow(name, onNote);
    else if (entry.isFile()) yield name;
  }
}
