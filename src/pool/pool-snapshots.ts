import { ThinError } from '../errors/thin-error.js';
import type { DeviceRecord } from '../format/device-record.js';
import type { DeviceName } from '../format/ids.js';
import { passingNameOf } from '../format/passing-name.js';
import type { DeviceIo } from '../io/device-io.js';
import { requireDeviceSize } from './create-pool.js';
import type { PoolState } from './pool-state.js';
import { requireQuota } from './quota.js';
import { requireFree, requireRecord } from './requirements.js';
import type { SnapshotRequest, ThinRequest } from './thin-pool.js';

/** Makes devices in the open transaction; the caller commits it. */
export class PoolSnapshots {
  readonly #state: PoolState;

  constructor(state: PoolState) {
    this.#state = state;
  }

  /** Of one moment of the origin: all of them or none. */
  async take(
    origin: DeviceName,
    requests: readonly Omit<SnapshotRequest, 'origin'>[],
  ): Promise<readonly DeviceRecord[]> {
    return this.#atOneMoment(origin, (io) => {
      const made: DeviceRecord[] = [];
      // The log may end between two records; a commit has all or none.
      if (requests.length > 1) this.#state.deviceLog.skip();
      try {
        for (const request of requests) made.push(this.#snapshot({ ...request, origin }, io));
        return made;
      } catch (error) {
        for (const { id } of made) this.#state.metadata.removeDevice(id);
        if (made.length > 0) this.#state.reclaimer.start(() => undefined);
        throw error;
      }
    });
  }

  /** A snapshot of `to` in the place of `name`, which is removed. */
  async replace(name: DeviceName, to: DeviceName): Promise<DeviceRecord> {
    return this.#atOneMoment(to, (io) => {
      const { id, kind, size, quota, limit, automount, labels } = this.#find(name);
      // For the same reason as in `take`.
      this.#state.deviceLog.skip();
      if (kind === 'base') throw new ThinError('invalid-argument', 'the base device is not rolled back');
      // Under a passing name first: where no snapshot can be made, the device is still there.
      const passing = passingNameOf(process.pid, 0) as DeviceName;
      const larger = Math.max(size, this.#find(to).size);
      const { id: fresh } = this.#snapshot(
        { name: passing, origin: to, kind, size: larger, quota, limit, labels },
        io,
      );
      this.#state.metadata.removeDevice(id);
      return this.#state.metadata.devices.change(fresh, { name, automount });
    });
  }

  /** A device without an origin. */
  createThin(request: ThinRequest): DeviceRecord {
    const { metadata } = this.#state;
    this.#state.requireWritable();
    requireFree(metadata.devices, request.name);
    const { blockSize, lastDeviceId } = metadata.superblock;
    requireDeviceSize(request.size, blockSize);
    requireQuota(request.name, request.quota ?? 0, 0, blockSize);
    this.#state.space.requireFreeSpace();
    const record = metadata.createThin({ ...request, createdAt: Date.now() });
    this.#state.deviceLog.created(record, lastDeviceId);
    return record;
  }

  /** `make` waits for nothing; what the device's threads have mapped is in its tree by then. */
  async #atOneMoment<T>(origin: DeviceName, make: (io?: DeviceIo) => T): Promise<T> {
    const io = this.#state.active.get(this.#find(origin).id);
    return io === undefined ? make() : this.#state.committer.applied(io, () => make(io));
  }

  /** Waits for nothing, so that no request comes between the origin's last mapping and the shared root. */
  #snapshot(request: SnapshotRequest, io?: DeviceIo): DeviceRecord {
    this.#state.requireWritable();
    const origin = this.#find(request.origin);
    requireFree(this.#state.metadata.devices, request.name);
    const size = request.size ?? origin.size;
    requireDeviceSize(size, this.#state.metadata.superblock.blockSize);
    if (size < origin.size)
      throw new ThinError(
        'invalid-argument',
        `${request.name} cannot be smaller (${size} bytes) than its origin ${request.origin} (${origin.size} bytes)`,
      );
    this.#state.space.requireFreeSpace();
    const quota = request.quota ?? 0;
    requireQuota(
      request.name,
      quota,
      io?.mappedChunks ?? origin.mapped,
      this.#state.metadata.superblock.blockSize,
    );
    const previous = this.#state.metadata.superblock.lastDeviceId;
    const record = this.#state.metadata.createSnapshot(origin.id, {
      name: request.name,
      kind: request.kind,
      size,
      createdAt: Date.now(),
      filesystem: origin.filesystem,
      label: request.label,
      quota,
      limit: request.limit,
      content: request.content,
      labels: request.labels,
      maker: request.maker,
      originLabel: request.originLabel,
    });
    this.#state.deviceLog.created(record, previous);
    io?.forgetMappings();
    return record;
  }

  #find(name: DeviceName): DeviceRecord {
    return requireRecord(this.#state.metadata.devices, name);
  }
}
