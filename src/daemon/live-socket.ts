import { connect } from 'node:net';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { SocketClient } from './client.js';

/** Enough for a daemon that is alive; one that hangs is refused without its pid. */
const STATUS_TIMEOUT_MS = 3000;

/** @throws ThinError already-running, with the pid where it can be told. */
export async function refuseLive(socket: string): Promise<void> {
  if (!(await answers(socket))) return;
  const pid = await new SocketClient(socket, { timeoutMs: STATUS_TIMEOUT_MS }).call('status', {}).then(
    (status) => status.pid,
    () => undefined,
  );
  const who = pid === undefined ? 'a daemon' : `a daemon (pid ${pid})`;
  throw new ThinError('already-running', `${who} already answers on ${socket}; stop it with: thinfuse stop`, {
    details: pid === undefined ? {} : { pid },
  });
}

/** Whether a process accepts connections there. */
export async function answers(socket: string): Promise<boolean> {
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
