import { access, constants, readFile } from 'node:fs/promises';
import path from 'node:path';
import { installCommand } from '../config/missing-tool.js';
import { ThinError } from '../errors/thin-error.js';

/** libfuse says no more than "failed" (the rest goes to stderr), so look at what it needs. */
export async function mountFailure(error: unknown, target: string): Promise<ThinError> {
  const options = { cause: error, details: { path: target } };
  // Without CAP_SYS_ADMIN libfuse falls back to the setuid helper.
  if (!(await hasFusermount()))
    return new ThinError(
      'missing-tool',
      `${target} could not be mounted and fusermount was not found; install it: ${installCommand(['fusermount']) ?? 'fuse'}`,
      options,
    );
  const denied = await missingCapability(target, { path: target });
  if (denied !== undefined) return denied;
  return new ThinError('io', `${target} could not be mounted: ${String(error)}; see dmesg`, options);
}

async function hasFusermount(): Promise<boolean> {
  for (const folder of [...(process.env['PATH'] ?? '').split(':'), '/usr/bin', '/bin']) {
    const found = await access(path.join(folder, 'fusermount'), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return true;
  }
  return false;
}

/** The `permission` error of a process that may not mount at all; undefined where it may. */
export async function missingCapability(
  target: string,
  details: Record<string, string>,
): Promise<ThinError | undefined> {
  if (await mayMount()) return undefined;
  return new ThinError(
    'permission',
    `${target} could not be mounted: root with CAP_SYS_ADMIN is needed; run as root, a container with --privileged`,
    { details },
  );
}

/** Whether this process has CAP_SYS_ADMIN. */
export async function mayMount(): Promise<boolean> {
  const CAP_SYS_ADMIN = 21n;
  const status = await readFile('/proc/self/status', 'utf8');
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0';
  return ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n;
}
