import { liveOptionsOf } from '../../config/pool-options.js';
import type { Handlers } from '../dispatcher.js';
import { examine } from '../doctor/doctor.js';
import { requireServing, type Service } from '../service.js';

/** The daemon itself. */
export function daemonOperations(
  service: Service,
): Pick<Handlers, 'status' | 'stop' | 'restart' | 'doctor' | 'metrics' | 'ui.open'> {
  const { pool, layout, poolName, statusLine } = service;
  return {
    status: () => {
      const { transport, startedAt, served } = requireServing(service, 'status');
      const info = pool.info();
      const { devices: total, active } = pool.counts();
      return Promise.resolve({
        pid: process.pid,
        startedAt,
        root: layout.root,
        pool: poolName,
        transport,
        mode: info.mode,
        transactionId: info.transactionId,
        settings: liveOptionsOf(info.options),
        dm: statusLine(info),
        remote: pool.figures().remote,
        devices: {
          total,
          active,
          mounted: served.mounts.count,
        },
        lacks: info.lacks,
      });
    },
    metrics: async () => ({ text: await requireServing(service, 'metrics').metrics.text() }),
    'ui.open': async ({ listen }) => ({ url: await requireServing(service, 'ui').ui.open(listen) }),
    doctor: ({ fix }) => examine(service, service.doctor, { fix: fix ?? false }),
    stop: ({ force }) => requireServing(service, 'stop').stop({ force: force ?? false }),
    restart: async () => {
      await requireServing(service, 'restart').restart();
      return {};
    },
  };
}
