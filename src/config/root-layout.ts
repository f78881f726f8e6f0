import { realpathSync } from 'node:fs';
import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';

/**
 * Where everything of one pool lies; absolute paths, symbolic links resolved, as the kernel's mount table
 * shows them.
 */
export interface RootLayout {
  readonly root: string;
  /** The LevelDB folder. */
  readonly pool: string;
  /** FUSE mount: one image file an active device. */
  readonly devices: string;
  readonly mounts: string;
  /** Mounts that users other than root reach; not there while there is none. */
  readonly openMounts: string;
  /** Its statfs(2) is the pool's; not there while no snapshotter is served. */
  readonly space: string;
  /** Folders that become mount points when the disk is full. */
  readonly spares: string;
  /** Docker's JSON projection. */
  readonly metadata: string;
  readonly socket: string;
  readonly pid: string;
  readonly log: string;
  /** Which processes are the daemon's tools. */
  readonly tools: string;
  /** Space and traffic of the last 24 hours. */
  readonly history: string;
  /** Notes in stores that are this pool's. */
  readonly notes: string;
  /**
   * A link whose target names the process that makes the pool (`format/maker.ts`); removed when the pool is
   * complete.
   */
  readonly beingMade: string;
}

/** `sun_path` of unix(7) holds 108 bytes with its closing zero. */
const MAX_SOCKET_PATH = 107;

/** @throws ThinError invalid-argument where the path is too long for a control socket. */
export function rootLayout(folder: string, options: { socketName?: string | undefined } = {}): RootLayout {
  const root = realRoot(path.resolve(folder));
  const socket = path.join(root, options.socketName ?? 'thinfuse.sock');
  if (Buffer.byteLength(socket) > MAX_SOCKET_PATH)
    throw new ThinError(
      'invalid-argument',
      `the root ${root} is too long: its control socket ${socket} would have more than ${MAX_SOCKET_PATH} bytes; choose a shorter --root`,
    );
  return {
    root,
    pool: path.join(root, 'devicemapper'),
    devices: path.join(root, 'dev'),
    mounts: path.join(root, 'mnt'),
    openMounts: path.join(root, 'shared'),
    space: path.join(root, 'space'),
    spares: path.join(root, 'spare'),
    metadata: path.join(root, 'metadata'),
    socket,
    pid: path.join(root, 'thinfuse.pid'),
    log: path.join(root, 'thinfuse.log'),
    tools: path.join(root, 'tools'),
    history: path.join(root, 'history.json'),
    notes: path.join(root, 'notes.json'),
    beingMade: path.join(root, 'being-made'),
  };
}

function realRoot(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return folder;
  }
}
