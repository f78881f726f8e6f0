import { readFile } from 'node:fs/promises';
import { ThinError } from '../errors/thin-error.js';
import type { Caller, CheckInput, MetadataCaller } from '../api/operations.js';
import { SocketClient } from '../api/client.js';
import { answers } from '../host/private-socket.js';
import { makeFilesPrivate } from '../host/private-files.js';
import type { FileDepth } from '../store/level-table-check.js';
import type { RootLayout } from '../config/root-layout.js';
import { openWhenFree } from '../daemon/open-when-free.js';
import { requirePool } from '../daemon/pool-folder.js';
import type { PoolAccess } from '../transfer/pool-access.js';
import { note } from './output.js';
import { rootFlag, type Context } from './context.js';
import { SuggestingCaller } from './suggesting-caller.js';
import { withSignsOfLife, type WatchedDaemon } from './signs-of-life.js';

/** The daemon that runs. Errors: not-running, no-pool. */
export async function withDaemon<T>(context: Context, work: (caller: Caller) => Promise<T>): Promise<T> {
  const { layout } = context;
  if (!(await answers(layout.socket))) {
    requirePool(layout);
    throw new ThinError(
      'not-running',
      `no daemon runs for ${layout.root}; start it with: thinfuse start${rootFlag(context)}`,
    );
  }
  return withSignsOfLife(serving(layout), () => work(new SuggestingCaller(new SocketClient(layout.socket))));
}

/** Through the daemon if one runs, else on the pool itself, for operations that need no devices. */
export async function withPool<T>(context: Context, work: (caller: Caller) => Promise<T>): Promise<T> {
  return patiently(
    context,
    async () => {
      // Loaded only here: what a daemon is made of takes longer to load than most commands to run.
      const { openOffline } = await import('../daemon/composition.js');
      makeFilesPrivate();
      const offline = await openOffline(context.layout, note);
      return { caller: offline.caller, end: () => offline.close(), daemon: undefined };
    },
    work,
  );
}

/**
 * As `withPool`, for what a pool has to offer that is too damaged to be opened. `verify`: how much of
 * LevelDB's own files is read before it opens them, where no daemon has.
 */
export async function withMetadata<T>(
  context: Context,
  work: (caller: MetadataCaller) => Promise<T>,
  { verify }: { verify?: FileDepth } = {},
): Promise<T> {
  const { layout } = context;
  const opened = await openWhenFree(async () => {
    if (await answers(layout.socket)) {
      const client = new SocketClient(layout.socket);
      return {
        check: (input: CheckInput) => client.call('pool.check', input),
        text: client.text.bind(client),
        close: () => Promise.resolve(),
        daemon: serving(layout),
      };
    }
    await requireNotBeingReplaced(layout);
    const { openMetadataOffline } = await import('../daemon/offline-metadata.js');
    makeFilesPrivate();
    return { ...(await openMetadataOffline(layout, note, verify)), daemon: undefined };
  });
  try {
    return await watched(opened.daemon, () => work(opened));
  } finally {
    await opened.close();
  }
}

/**
 * Through the daemon if one runs, else through one that lives as long as `work`, for operations that need
 * devices for a moment.
 */
export async function withDevices<T>(context: Context, work: (caller: Caller) => Promise<T>): Promise<T> {
  return patiently(context, () => temporaryDaemon(context), work);
}

/** As `withDevices`, with the bytes of devices. */
export async function withAccess<T>(context: Context, work: (access: PoolAccess) => Promise<T>): Promise<T> {
  const { ServedAccess } = await import('../transfer/pool-access.js');
  const { ChildProcessExec } = await import('../host/exec.js');
  return withDevices(context, (caller) => work(new ServedAccess(caller, new ChildProcessExec())));
}

/** As `withDevices`, where no daemon can run yet. */
export async function withTemporaryDaemon<T>(
  context: Context,
  work: (caller: Caller) => Promise<T>,
): Promise<T> {
  const { caller, end, daemon } = await temporaryDaemon(context);
  try {
    return await watched(daemon, () => work(caller));
  } finally {
    await end();
  }
}

/** A daemon of this command, on its own socket, so that no other command relies on it. */
async function temporaryDaemon({ layout }: Context): Promise<OpenedPool> {
  const { spawnDaemon } = await import('../daemon/spawn-daemon.js');
  const socketName = `thinfuse-${process.pid}.sock`;
  const daemon = await spawnDaemon({
    layout,
    temporary: true,
    args: ['start', '--foreground', '--notify', '--root', layout.root, '--temporary', socketName],
  });
  const socket = `${layout.root}/${socketName}`;
  return {
    caller: new SocketClient(socket),
    end: () => daemon.end(),
    daemon: { socket, pid: () => Promise.resolve(daemon.pid) },
  };
}

/** The daemon that runs for a root. */
function serving({ socket, pid: file }: RootLayout): WatchedDaemon {
  return {
    socket,
    pid: async () => Number(await readFile(file, 'utf8').catch(() => '')) || undefined,
  };
}

function watched<T>(daemon: WatchedDaemon | undefined, work: () => Promise<T>): Promise<T> {
  return daemon === undefined ? work() : withSignsOfLife(daemon, work);
}

interface OpenedPool {
  readonly caller: Caller;
  readonly end: () => Promise<void>;
  /** Undefined: this process has the pool itself. */
  readonly daemon: WatchedDaemon | undefined;
}

async function patiently<T>(
  { layout }: Context,
  open: () => Promise<OpenedPool>,
  work: (caller: Caller) => Promise<T>,
): Promise<T> {
  const opened = await openWhenFree(async () => {
    if (await answers(layout.socket))
      return {
        caller: new SocketClient(layout.socket),
        end: () => Promise.resolve(),
        daemon: serving(layout),
      };
    await requireNotBeingReplaced(layout);
    return open();
  });
  try {
    return await watched(opened.daemon, () => work(new SuggestingCaller(opened.caller)));
  } finally {
    await opened.end();
  }
}

/** @throws ThinError locked */
export async function requireNotBeingReplaced(layout: RootLayout): Promise<void> {
  const { isBeingReplaced } = await import('../daemon/handover.js');
  if (isBeingReplaced(layout))
    throw new ThinError(
      'locked',
      `the daemon of ${layout.root} is being replaced; try again when it is back`,
    );
}
