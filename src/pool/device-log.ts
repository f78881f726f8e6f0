import { packCreatedDevice } from '../format/device-change.js';
import { packDeviceRecord, recordVersion, type DeviceRecord } from '../format/device-record.js';
import { deviceId, type DeviceId } from '../format/ids.js';
import { LogKind } from '../format/log-record.js';
import { FORMAT_VERSION } from '../format/seal.js';
import type { DeviceTable } from '../metadata/device-table.js';
import type { PoolLog } from '../store/pool-log.js';

export interface DeviceLogParts {
  readonly log: PoolLog | undefined;
  readonly devices: DeviceTable;
  /** What was answered is durable. */
  readonly flush: () => Promise<void>;
  readonly commit: () => Promise<void>;
}

/**
 * Writes changes of devices to the log, so that the caller of one waits for a sync of the log and not for a
 * commit. It writes each in the same turn in which memory changes: the log has it between the mappings before
 * and after it.
 */
export class DeviceLog {
  readonly #parts: DeviceLogParts;
  /** Changes that the log does not have, counted; and how many of them a commit has. */
  #unlogged = 0;
  #committed = 0;

  constructor(parts: DeviceLogParts) {
    this.#parts = parts;
  }

  /** @param previous the device that was made last before */
  created(record: DeviceRecord, previous: DeviceId): void {
    // Numbers that begin anew may meet a device whose deletion the log does not have.
    if (record.id !== deviceId(previous + 1)) {
      this.skip();
      return;
    }
    const { devices } = this.#parts;
    const originLabel = record.origin === 0 ? '' : devices.get(record.origin).label;
    this.#note(LogKind.CREATE, record, recordVersion(record), packCreatedDevice({ record, originLabel }));
  }

  changed(record: DeviceRecord): void {
    this.#note(LogKind.CHANGE, record, recordVersion(record), packDeviceRecord(record));
  }

  removed({ id }: DeviceRecord): void {
    this.#note(LogKind.REMOVE, { id, origin: deviceId(0) }, FORMAT_VERSION, new Uint8Array(0));
  }

  /** Something was changed that only a commit makes durable. */
  skip(): void {
    this.#unlogged++;
  }

  /** Resolves when what was changed before the call is durable. */
  async durable(): Promise<void> {
    const unlogged = this.#unlogged;
    if (unlogged === this.#committed) return this.#parts.flush();
    await this.#parts.commit();
    this.#committed = Math.max(this.#committed, unlogged);
  }

  /** What comes behind a change that the log lacks could not be done again without it. */
  #note(
    kind: LogKind,
    { id: device, origin }: Pick<DeviceRecord, 'id' | 'origin'>,
    version: number,
    payload: Uint8Array,
  ): void {
    const { log } = this.#parts;
    // The store says so before the log has one: the first is a commit.
    const isForeseen = version === FORMAT_VERSION || log?.foreseeNewerRecords() === true;
    const run = version === FORMAT_VERSION ? 0 : version;
    const isLogged =
      isForeseen &&
      this.#unlogged === this.#committed &&
      log?.writer.device({ kind, device, origin, run }, payload) === true;
    if (!isLogged) this.skip();
  }
}
