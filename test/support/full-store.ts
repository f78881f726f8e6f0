import { ThinError } from '../../src/errors/thin-error.js';
import type { KvOperation } from '../../src/store/key-value.js';
import type { HostDisk } from '../../src/pool/host-guard.js';
import { MemoryStore } from './memory-store.js';

/**
 * A store and the disk it is on, in memory: batches fail while `room` is spent, and after that until
 * `recover`.
 */
export class FullStore extends MemoryStore {
  /** Bytes that the disk says it has. */
  room = 2 ** 30;
  /** Batches fail from now on. */
  full = false;
  recoveries = 0;
  reserve = 0;
  #needsRecovery = false;

  readonly disk: HostDisk = {
    total: 2 ** 30,
    free: () => this.room,
    holdReserve: () => {
      this.reserve = 1;
      return Promise.resolve();
    },
    releaseReserve: () => {
      this.reserve = 0;
      return Promise.resolve();
    },
  };

  get needsRecovery(): boolean {
    return this.#needsRecovery;
  }

  async recover(): Promise<void> {
    if (this.full) throw new ThinError('no-space', 'the disk is full');
    this.#needsRecovery = false;
    this.recoveries++;
    return Promise.resolve();
  }

  protected override beforeApply(_operations: readonly KvOperation[]): void {
    if (!this.full) return;
    this.#needsRecovery = true;
    throw new ThinError('no-space', 'the disk is full');
  }
}
