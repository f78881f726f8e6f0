import { access, constants, readdir, realpath } from 'node:fs/promises';
import path from 'node:path';
import { HOST_TOOLS, toolsOfNeed, type HostTool } from '../config/host-tools.js';
import { installCommand } from '../config/missing-tool.js';
import { toolFolders, type Exec } from './exec.js';
import type { HostFinding } from './host-finding.js';

const VERSION_MS = 10_000;
/**
 * How a tool tells its version, where that is not `--version`; without arguments some only say how they are
 * used, and their version with it.
 */
const ASKED: Partial<Readonly<Record<HostTool, readonly string[]>>> = {
  e2fsck: ['-V'],
  'mkfs.ext4': ['-V'],
  'mkfs.xfs': ['-V'],
  resize2fs: [],
  tune2fs: [],
  xfs_growfs: ['-V'],
  xfs_io: ['-V'],
};
/** These have no version to tell. */
const SILENT: readonly HostTool[] = ['sh'];
const LIBRARY = /\.so\.\d+$/;
const LIBRARY_FOLDERS = ['/lib', '/usr/lib', '/lib64', '/usr/lib64', '/usr/local/lib'];
/** BusyBox has programs of these names that know few of the options; its shell will do. */
const BUSYBOX_WILL_DO: readonly HostTool[] = ['sh'];

/** Each tool that thinfuse runs or tells people to run: whether it is there, and its version. */
export async function checkTools(exec: Exec): Promise<readonly HostFinding[]> {
  const needs = ['required', 'optional', 'advised'] as const;
  const checks = needs.flatMap((need) => toolsOfNeed(need).map((tool) => checkTool(exec, tool, need)));
  return Promise.all(checks);
}

async function checkTool(exec: Exec, tool: HostTool, need: HostFinding['need']): Promise<HostFinding> {
  const finding = { area: 'tool', subject: tool, need } as const;
  const { purpose } = HOST_TOOLS[tool];
  const remedy = installCommand([tool]);
  const install = remedy === undefined ? '' : `; install it: ${remedy}`;
  const place = LIBRARY.test(tool) ? await findLibrary(tool) : await findProgram(tool);
  if (place === undefined)
    return { ...finding, state: 'missing', message: `not found, for ${purpose}${install}` };
  if (path.basename(await realpath(place)) === 'busybox' && !BUSYBOX_WILL_DO.includes(tool))
    return {
      ...finding,
      state: 'missing',
      message: `${place} is BusyBox's, which knows too little${install}`,
    };
  const version = LIBRARY.test(tool) || need === 'advised' ? undefined : await versionOf(exec, tool);
  return { ...finding, state: 'ok', message: place, version };
}

async function findProgram(tool: HostTool): Promise<string | undefined> {
  return firstThere(
    toolFolders().map((folder) => path.join(folder, tool)),
    constants.X_OK,
  );
}

/** In the folders of the loader, and Debian's below them. */
async function findLibrary(name: string): Promise<string | undefined> {
  const below = await Promise.all(
    LIBRARY_FOLDERS.map(async (folder) =>
      (await readdir(folder).catch(() => []))
        .filter((entry) => entry.includes('-linux-'))
        .map((entry) => path.join(folder, entry)),
    ),
  );
  return firstThere(
    [...LIBRARY_FOLDERS, ...below.flat()].map((folder) => path.join(folder, name)),
    constants.R_OK,
  );
}

async function firstThere(places: readonly string[], mode: number): Promise<string | undefined> {
  for (const place of places) {
    const isThere = await access(place, mode).then(
      () => true,
      () => false,
    );
    if (isThere) return place;
  }
  return undefined;
}

async function versionOf(exec: Exec, tool: HostTool): Promise<string | undefined> {
  if (SILENT.includes(tool)) return undefined;
  const said = await exec
    .run(tool, ASKED[tool] ?? ['--version'], { okCodes: [0, 1, 2, 16], timeoutMs: VERSION_MS })
    .catch(() => undefined);
  return said === undefined ? undefined : versionIn(`${said.stdout}\n${said.stderr}`);
}

/** The first number with a dot in it, which is what all of them print first. */
export function versionIn(text: string): string | undefined {
  return /\d+(?:\.\d+)+/.exec(text)?.[0] ?? /\b\d+\b/.exec(text)?.[0];
}
