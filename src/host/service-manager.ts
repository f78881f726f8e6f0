import type { Exec } from './exec.js';

const TOOL_MS = 5000;

/**
 * Tells the service manager that started this process how it stands (sd_notify(3)), where one did. Through
 * systemd-notify(1), since Node has no datagram sockets in the file system: the unit needs
 * `NotifyAccess=all`. Who is the main process is not said, for that is the supervisor where there is one.
 * Never rejects: a service that is not heard is still one.
 */
export async function notifyServiceManager(
  exec: Exec,
  state: 'READY=1' | 'STOPPING=1',
  status: string,
  env: NodeJS.ProcessEnv = process.env,
): Promise<boolean> {
  if ((env['NOTIFY_SOCKET'] ?? '') === '') return false;
  return exec.run('systemd-notify', [state, `STATUS=${status}`], { timeoutMs: TOOL_MS }).then(
    () => true,
    () => false,
  );
}
