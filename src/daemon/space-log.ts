import type { Logger } from 'pino';
import { formatBinarySize } from '../config/sizes.js';
import type { SpaceEvent } from '../pool/space-events.js';

/** One line an event, with what to do where there is something to do. */
export function logSpace(log: Logger, event: SpaceEvent): void {
  const { kind, ...details } = event;
  const fields = { event: 'space', kind, ...details };
  switch (event.kind) {
    case 'threshold':
      log.warn(
        fields,
        `the pool's ${event.space} is ${event.percent}% full: ${formatBinarySize(event.used)} of ${formatBinarySize(event.total)}; remove devices, or extend it (thinfuse extend)`,
      );
      return;
    case 'low-water':
      log.warn(fields, `the pool's ${event.space} has only ${formatBinarySize(event.free)} free`);
      return;
    case 'extended':
      log.info(
        fields,
        `the pool's ${event.space} grew from ${formatBinarySize(event.from)} to ${formatBinarySize(event.to)}${event.by === 'autoextend' ? ' by itself' : ''}`,
      );
      return;
    case 'extend-failed':
      log.error(fields, `the pool's ${event.space} should grow and cannot: ${event.reason}`);
      return;
    case 'host-disk':
      if (event.state === 'enough') log.info(fields, "the disk of the pool's folder has room again");
      else
        log.error(
          fields,
          `the disk of the pool's folder is nearly full (${formatBinarySize(event.free)} left): the pool refuses writes that need room on it until you make some`,
        );
  }
}
