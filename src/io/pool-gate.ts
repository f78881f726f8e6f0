import type { ThinError } from '../errors/thin-error.js';
import type { DeviceIo } from './device-io.js';

/** What a device's data path asks of its pool. */
export interface PoolGate {
  /** @throws ThinError read-only, closed */
  requireWritable(): void;
  /** Something changed in memory: a commit may be due. */
  noteChange(): void;
  commit(): Promise<void>;
  /** Resolves when everything that was answered before is durable. */
  flush(): Promise<void>;
  /**
   * Resolves when a chunk may be had; rejects with `no-space` at once, or when the pool's timeout is over.
   */
  waitForSpace(device: string): Promise<void>;
  /** Before a write: undefined where it may go on, else resolves when it may. @throws ThinError no-space */
  admit(io: DeviceIo, offset: number, length: number): Promise<void> | undefined;
  /** Resolves when one more block can be unmapped. */
  waitForNodes(device: string): Promise<void>;
  /** Resolves when some device has released its mapping table. */
  waitForSheets(): Promise<void>;
  /** A chunk or node was found damaged. */
  foundDamage(error: ThinError): void;
}
