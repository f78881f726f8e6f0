import path from 'node:path';
import { closest } from 'fastest-levenshtein';
import { parseDeviceSize } from '../config/limits.js';
import type { FilesystemType } from '../config/pool-options.js';
import { ThinError } from '../errors/thin-error.js';
import { MOUNT_MODES, type MountMode } from './mount-mode.js';

/** One socket for containerd, and what is made through it unless a snapshot says otherwise. */
export interface SnapshotterSettings {
  /** Keeps its snapshots apart from those of other sockets; undefined: the name in each request does. */
  readonly name?: string | undefined;
  /** Absolute. */
  readonly socket: string;
  readonly mounts: MountMode;
  /** Of snapshots that start from nothing; undefined: the pool's. */
  readonly filesystem?: FilesystemType | undefined;
  /** Bytes that a container's filesystem has; undefined: what its image's has. */
  readonly size?: number | undefined;
  /** Of which registries block images are looked for, all or those; undefined: of none. */
  readonly lazy?: 'all' | readonly string[] | undefined;
  /** Absolute: of the containerd whose content store gets the layers of Diff; undefined: the usual one. */
  readonly containerd?: string | undefined;
}

/** Of Debian's containerd, and of Docker's. */
export const USUAL_CONTAINERD = '/run/containerd/containerd.sock';

const KEYS = ['mounts', 'size', 'fs', 'lazy', 'containerd'] as const;
type Key = (typeof KEYS)[number];

const NAMED = /^([A-Za-z0-9][A-Za-z0-9_.-]*)(?:=([^,]*))?(?:,(.*))?$/s;

/**
 * option := mounts=bind|loop | size=SIZE | fs=xfs|ext4 | lazy=on|off|HOST[+HOST] | containerd=SOCKET
 *
 * Each of `NAME[=SOCKET][,option]…`, or a socket alone, or empty for the socket in the root; the last two are
 * a snapshotter without a name. A path has a `/`, or ends in `.sock`.
 * @param mounts where one says nothing
 * @throws ThinError invalid-argument, unknown-option
 */
export function parseSnapshotters(
  texts: readonly string[],
  { root, mounts }: { readonly root: string; readonly mounts: MountMode },
): readonly SnapshotterSettings[] {
  const all = texts.map((text) => parseOne(text, root, mounts));
  refuseTwice(all, 'the name', ({ name }) => name);
  refuseTwice(all, 'the socket', ({ socket }) => socket);
  return all;
}

/** What `parseSnapshotters` reads back as the same. */
export function snapshotterText({
  name,
  socket,
  mounts,
  filesystem,
  size,
  lazy,
  containerd,
}: SnapshotterSettings): string {
  if (name === undefined) return socket;
  const options = [
    `mounts=${mounts}`,
    ...(size === undefined ? [] : [`size=${size}`]),
    ...(filesystem === undefined ? [] : [`fs=${filesystem}`]),
    ...(lazy === undefined ? [] : [`lazy=${lazy === 'all' ? 'on' : lazy.join('+')}`]),
    ...(containerd === undefined ? [] : [`containerd=${containerd}`]),
  ];
  return [`${name}=${socket}`, ...options].join(',');
}

function parseOne(text: string, root: string, mounts: MountMode): SnapshotterSettings {
  if (text === '') return { socket: path.join(root, 'snapshotter.sock'), mounts };
  const head = text.split(/[=,]/, 1)[0] ?? '';
  if (head.includes('/') || head.endsWith('.sock')) return { socket: path.resolve(text), mounts };
  const found = NAMED.exec(text);
  if (found === null)
    throw new ThinError(
      'invalid-argument',
      `--snapshotter: ${JSON.stringify(text)} is neither a socket nor NAME[=SOCKET][,KEY=VALUE]; a name has letters, digits and, after its first character, . _ -`,
    );
  const [, name = '', socket, rest] = found;
  if (socket === '')
    throw new ThinError('invalid-argument', `--snapshotter: the socket of ${name} is missing after the =`);
  return {
    name,
    socket: socket === undefined ? path.join(root, `snapshotter-${name}.sock`) : path.resolve(socket),
    mounts,
    ...optionsOf(name, rest ?? ''),
  };
}

function optionsOf(name: string, text: string): Partial<SnapshotterSettings> {
  const options: { -readonly [K in keyof SnapshotterSettings]?: SnapshotterSettings[K] } = {};
  for (const word of text.split(',').filter((part) => part !== '')) {
    const at = word.indexOf('=');
    const key = at < 0 ? word : word.slice(0, at);
    const value = at < 0 ? '' : word.slice(at + 1);
    if (!isKey(key))
      throw new ThinError(
        'unknown-option',
        `--snapshotter: ${name} has no option ${JSON.stringify(key)}; did you mean ${closest(key, [...KEYS])}? There are ${KEYS.join(', ')}`,
      );
    switch (key) {
      case 'mounts':
        options.mounts = oneOf(MOUNT_MODES, value, `mounts of ${name}`);
        break;
      case 'fs':
        options.filesystem = oneOf<FilesystemType>(['xfs', 'ext4'], value, `fs of ${name}`);
        break;
      case 'size':
        options.size = parseDeviceSize(value, `--snapshotter: size of ${name}`);
        break;
      case 'lazy':
        options.lazy = lazyOf(value, name);
        break;
      case 'containerd':
        if (!value.startsWith('/'))
          throw new ThinError(
            'invalid-argument',
            `--snapshotter: containerd of ${name}: ${JSON.stringify(value)} is not the absolute path of a socket`,
          );
        options.containerd = value;
    }
  }
  return options;
}

/** @throws ThinError invalid-argument */
function lazyOf(value: string, name: string): SnapshotterSettings['lazy'] {
  if (value === 'off') return undefined;
  if (value === 'on') return 'all';
  const hosts = value.split('+');
  if (
    hosts.every(
      (host) => /^([A-Za-z0-9.-]+|\[[0-9a-f:]+\])(:\d{1,5})?$/.test(host) && /[.:]|^localhost$/.test(host),
    )
  )
    return hosts;
  throw new ThinError(
    'invalid-argument',
    `--snapshotter: lazy of ${name}: ${JSON.stringify(value)} is not on, off, or registries as image names have them (registry.example.org:5000, several with +)`,
  );
}

function oneOf<T extends string>(choices: readonly T[], value: string, what: string): T {
  const found = choices.find((choice) => choice === value);
  if (found !== undefined) return found;
  throw new ThinError(
    'invalid-argument',
    `--snapshotter: ${what}: ${JSON.stringify(value)} is not ${choices.join(' or ')}`,
  );
}

function isKey(key: string): key is Key {
  return (KEYS as readonly string[]).includes(key);
}

function refuseTwice(
  all: readonly SnapshotterSettings[],
  what: string,
  of: (settings: SnapshotterSettings) => string | undefined,
): void {
  const seen = new Set<string>();
  for (const value of all.map(of)) {
    if (value === undefined) continue;
    if (seen.has(value))
      throw new ThinError(
        'invalid-argument',
        `--snapshotter: ${what} ${value} is given twice; choose another`,
      );
    seen.add(value);
  }
}
