import type { Logger } from 'pino';
import type { Incompleteness } from '../api/operations.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import type { DeviceName } from '../format/ids.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { DeviceHost } from '../service/device-host.js';
import type { ServedPool } from '../service/pool-service.js';

interface Parts {
  readonly served: Pick<ServedPool, 'mounts' | 'active' | 'locks'>;
  readonly pool: Pick<ThinPool, 'info'>;
  readonly host: Pick<DeviceHost, 'withdrawOthers'>;
  readonly log: Pick<Logger, 'warn'>;
}

/**
 * Releases every device. One that is released lacks at most what a pool could not write that has become
 * read-only. Errors without `force`: busy, naming everything that is.
 */
export async function unmountAll(
  parts: Parts,
  { force }: { readonly force: boolean },
): Promise<Incompleteness> {
  const { served, pool, host, log } = parts;
  const { mounts, active, locks } = served;
  const failures: ThinError[] = [];
  const lost: string[] = [];
  const attempt = (name: DeviceName, step: () => Promise<unknown>): Promise<unknown> =>
    locks.run([name], step).catch((error: unknown) => {
      const failure = toThinError(error);
      const isReleased = mounts.of(name) === undefined && active.pathOf(name) === undefined;
      // A deletion that was deferred released it meanwhile.
      if (isReleased && failure.code === 'not-found') return;
      log.warn({ event: 'stop', device: name, err: error });
      if (isReleased && pool.info().mode === 'ro') lost.push(`${name} (${failure.message})`);
      else failures.push(failure);
    });
  for (const name of mounts.names().toReversed()) await attempt(name, () => unmount(parts, name, force));
  if (force) for (const step of await host.withdrawOthers()) log.warn({ event: 'stop' }, step);
  for (const name of active.names())
    await attempt(name, () => (force ? active.deactivateAnyway(name) : active.deactivate(name)));
  const [first] = failures;
  if (first !== undefined && !force)
    throw new ThinError(
      first.code,
      `the daemon goes on, because it cannot release everything: ${failures.map(({ message }) => message).join('; ')} (or stop it with --force)`,
      { details: first.details },
    );
  if (lost.length === 0) return {};
  return { lacks: `what was written last and not synced may be lost in ${lost.join('; ')}` };
}

async function unmount({ served, log }: Parts, name: DeviceName, force: boolean): Promise<void> {
  try {
    await served.mounts.unmount(name);
  } catch (error) {
    if (!force) throw error;
    log.warn({ event: 'stop', device: name, err: error }, `unmounting ${name} lazily`);
    await served.mounts.unmount(name, { lazily: true });
  }
}
