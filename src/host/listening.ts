import { rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { ThinError } from '../errors/thin-error.js';
import { listenPrivately } from './private-socket.js';

/** Where a server of this process listens. */
export interface ListenPlace {
  /** Absolute. */
  readonly socket: string;
  /** Of a socket that a service manager listens on there and keeps. Undefined: the server makes its own. */
  readonly descriptor?: number | undefined;
}

/** On a unix socket; one that the server makes has mode 0600. Errors: io. */
export async function listenAt(server: Server, { socket, descriptor }: ListenPlace): Promise<void> {
  const listening = (where: { fd: number } | { path: string }): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(where, () => {
        server.off('error', reject);
        resolve();
      });
    });
  try {
    if (descriptor === undefined) await listenPrivately(socket, () => listening({ path: socket }));
    else await listening({ fd: descriptor });
  } catch (error) {
    throw new ThinError(
      'io',
      `the socket ${socket} cannot be made (${error instanceof Error ? error.message : String(error)}); choose one with a path below 108 bytes in a folder that is there`,
      { cause: error },
    );
  }
}

/** After the server has closed. A service manager's socket stays, and clients wait on it. */
export async function leavePlace({ socket, descriptor }: ListenPlace): Promise<void> {
  if (descriptor === undefined) await rm(socket, { force: true });
}
