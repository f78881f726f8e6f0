import { ThinError } from '../errors/thin-error.js';
import { answers } from '../host/private-socket.js';
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
