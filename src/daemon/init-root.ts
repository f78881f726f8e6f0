import { chmod, mkdir, readdir, realpath, rm, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { pidOf } from '../format/maker.js';
import { isAtWork, makerOf } from '../host/maker.js';
import { hasPool, makerOfPool } from './pool-folder.js';
import type { RootLayout } from '../config/root-layout.js';

/** A fresh ext4 has this in its top folder, and a disk of its own for the root is what many will take. */
const IGNORED = new Set(['lost+found']);

type UndoRoot = () => Promise<void>;

/**
 * A root that this process makes. It is marked so until `finish`, and what a process that died has left of
 * one is `clearRoot`'s.
 */
export interface FreshRoot {
  /** In the words of `format/maker.ts`. */
  readonly maker: string;
  /** The pool in it is whole. */
  readonly finish: () => Promise<void>;
  /**
   * Takes back what `prepareRoot` made, and all that came into it since; a folder that was there before
   * stays, as empty as it was.
   */
  readonly undo: () => Promise<void>;
}

/**
 * Makes the root's folders (0700) where nothing is yet. Errors, with nothing changed: exists (a pool),
 * not-empty (something else), invalid-argument (no folder), permission, read-only, no-space, busy (a process
 * makes it).
 */
export async function prepareRoot(
  layout: RootLayout,
  options: { readonly metadataDir?: string | undefined } = {},
): Promise<FreshRoot> {
  const { root } = layout;
  await requireFresh(layout);
  const before = await stat(root).catch(() => undefined);
  let made: string | undefined;
  let undoElsewhere: UndoRoot = () => Promise.resolve();
  const undo = async (): Promise<void> => {
    await undoElsewhere();
    if (before === undefined) {
      if (made !== undefined) await rm(made, { recursive: true, force: true });
      return;
    }
    await emptyFolder(root);
    await chmod(root, before.mode & 0o7777);
  };
  try {
    made = await mkdir(root, { recursive: true, mode: 0o700 });
    await chmod(root, 0o700);
    const maker = (await makerOf(process.pid)) ?? '';
    // First of all, in one step, and by one process only.
    await symlink(maker, layout.beingMade);
    const elsewhere = await prepareElsewhere(layout, options.metadataDir);
    undoElsewhere = elsewhere.undo;
    for (const folder of [...elsewhere.folders, layout.devices, layout.mounts, layout.metadata])
      await mkdir(folder, { mode: 0o700 });
    return { maker, undo, finish: () => rm(layout.beingMade) };
  } catch (error) {
    await undo().catch(() => undefined);
    throw folderError(root, error);
  }
}

/** The maker of the root, if its process is gone. @throws ThinError busy: it is at work */
export async function deadMaker(layout: RootLayout): Promise<string | undefined> {
  const maker = makerOfPool(layout);
  if (maker === undefined || !(await isAtWork(maker))) return maker;
  throw new ThinError(
    'busy',
    `the process ${pidOf(maker)} is making the pool in ${layout.root}; wait for it`,
    { details: { path: layout.root } },
  );
}

/**
 * Empties the root of what `prepareRoot` and who called it left of a pool that was never whole; its mark goes
 * last.
 */
export async function clearRoot(layout: RootLayout): Promise<void> {
  await emptyFolder(await realpath(layout.pool).catch(() => layout.pool));
  const mark = path.basename(layout.beingMade);
  await emptyFolder(layout.root, mark);
  await rm(layout.beingMade, { force: true });
}

async function emptyFolder(folder: string, ...kept: readonly string[]): Promise<void> {
  for (const name of await readdir(folder).catch(() => []))
    if (!IGNORED.has(name) && !kept.includes(name))
      await rm(path.join(folder, name), { recursive: true, force: true });
}

/** The pool's folder, on another disk where one was given: then the root has a link to it. */
async function prepareElsewhere(
  layout: RootLayout,
  metadataDir: string | undefined,
): Promise<{ folders: readonly string[]; undo: UndoRoot }> {
  if (metadataDir === undefined) return { folders: [layout.pool], undo: () => Promise.resolve() };
  const folder = path.resolve(metadataDir);
  const made = await mkdir(folder, { recursive: true, mode: 0o700 });
  const foreign = (await readdir(folder)).filter((name) => !IGNORED.has(name));
  if (foreign.length > 0)
    throw new ThinError(
      'not-empty',
      `${folder} is not empty (${foreign.slice(0, 3).join(', ')}); give a new or an empty --metadata-dir`,
      { details: { path: folder } },
    );
  const { mode } = await stat(folder);
  await chmod(folder, 0o700);
  await symlink(folder, layout.pool);
  return {
    folders: [],
    undo: async () => {
      if (made !== undefined) await rm(made, { recursive: true, force: true });
      else {
        await chmod(folder, mode & 0o7777);
        await emptyFolder(folder);
      }
    },
  };
}

async function requireFresh(layout: RootLayout): Promise<void> {
  const { root } = layout;
  if ((await deadMaker(layout)) !== undefined)
    throw new ThinError('internal', `${root} holds the remains of a pool that was never complete`);
  if (hasPool(layout))
    throw new ThinError(
      'exists',
      `${root} has a pool already; start it with: thinfuse start --root ${root}`,
      {
        details: { path: root },
      },
    );
  let names: readonly string[];
  try {
    names = await readdir(root);
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return;
    throw folderError(root, error);
  }
  const foreign = names.filter((name) => !IGNORED.has(name)).sort();
  if (foreign.length > 0)
    throw new ThinError(
      'not-empty',
      `${root} is not empty (${foreign.slice(0, 3).join(', ')}${foreign.length > 3 ? ', …' : ''}) and holds no pool; choose another --root, or empty it`,
      { details: { path: root } },
    );
}

function folderError(root: string, error: unknown): ThinError {
  if (error instanceof ThinError) return error;
  const code = systemErrorCode(error);
  const options = { cause: error, details: { path: root } };
  if (code === 'ENOTDIR' || code === 'EEXIST')
    return new ThinError('invalid-argument', `${root} is not a folder; choose another --root`, options);
  if (code === 'EACCES' || code === 'EPERM')
    return new ThinError('permission', `${root} cannot be made or written; run this as root`, options);
  if (code === 'EROFS')
    return new ThinError(
      'read-only',
      `${root} lies on a read-only filesystem; choose another --root`,
      options,
    );
  if (code === 'ENOSPC')
    return new ThinError('no-space', `the disk of ${root} is full; make room, then run init again`, options);
  return new ThinError('io', `${root} cannot be made: ${String(error)}`, options);
}
