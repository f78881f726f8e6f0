import type { DeviceName } from '../format/ids.js';
import type { DeviceLocks } from './device-locks.js';
import type { ProjectionWriter } from './projection-writer.js';

/**
 * How a device is changed: under its lock. The files in `<root>/metadata` follow, whatever became of the
 * change: they are behind the pool for some milliseconds, and a start writes those that a crash left behind.
 */
export class DeviceChanges {
  readonly #locks: DeviceLocks;
  readonly #projection: ProjectionWriter;

  constructor(locks: DeviceLocks, projection: ProjectionWriter) {
    this.#locks = locks;
    this.#projection = projection;
  }

  /** Changes `names`, and nothing else. Not reentrant for one device. */
  async run<T>(names: readonly DeviceName[], change: () => Promise<T>): Promise<T> {
    return this.#locks.run(names, async () => {
      try {
        return await change();
      } finally {
        this.#projection.follow();
      }
    });
  }
}
