import { chmod, rm } from 'node:fs/promises';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';

/** Whether a process accepts connections there. Errors: permission, io. */
export async function answers(socket: string): Promise<boolean> {
  const { connect } = await import('node:net');
  return new Promise((resolve, reject) => {
    const probe = connect(socket);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error) => {
      const code = systemErrorCode(error);
      if (code === 'ENOENT' || code === 'ECONNREFUSED' || code === 'ENOTSOCK') resolve(false);
      else if (code === 'EACCES' || code === 'EPERM')
        reject(new ThinError('permission', `the control socket ${socket} belongs to root; run this as root`));
      else
        reject(
          new ThinError('io', `the control socket ${socket} cannot be reached: ${error.message}`, {
            cause: error,
          }),
        );
    });
  });
}

/**
 * Runs `listen`, which makes the unix socket, so that it has mode 0600 from the first moment. What is there
 * already is replaced.
 */
export async function listenPrivately(socket: string, listen: () => Promise<unknown>): Promise<void> {
  await rm(socket, { force: true });
  const before = process.umask(0o177);
  try {
    await listen();
  } finally {
    process.umask(before);
  }
  await chmod(socket, 0o600);
}
