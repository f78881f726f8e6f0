import { KEPT_PART, PUSHED } from '../format/device-record.js';
import { passingPid } from '../format/passing-name.js';
import type { DeviceName } from '../format/ids.js';
import type { DeviceInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { DeviceChanges } from './device-changes.js';
import type { DeviceUse } from './device-use.js';

/** Milliseconds between looks for makers that are gone. */
const INTERVAL = 10_000;

/** What tells makers that live from those that are gone; the host does. */
export interface Makers {
  /** The process as a maker; undefined: there is none. */
  readonly makerOf: (pid: number) => Promise<string | undefined>;
  readonly isAtWork: (maker: string) => Promise<boolean>;
}

export interface UnfinishedDevicesParts {
  readonly pool: ThinPool;
  readonly changes: DeviceChanges;
  readonly use: DeviceUse;
  readonly makers: Makers;
}

/**
 * Incomplete devices. Each is marked with the process that makes it, and removed when that process is gone.
 */
export class UnfinishedDevices {
  readonly #parts: UnfinishedDevicesParts;
  #timer: NodeJS.Timeout | undefined;
  #sweeping: Promise<unknown> = Promise.resolve();

  constructor(parts: UnfinishedDevicesParts) {
    this.#parts = parts;
  }

  /** Removes what is left over from before, and from then on what is left. Never rejects. */
  async start(): Promise<void> {
    this.#timer = setInterval(() => void this.sweep(), INTERVAL);
    this.#timer.unref();
    await this.sweep();
  }

  /** Resolves when nothing is removed any more. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#sweeping;
  }

  /** Those that a command has left when it ended before they were whole. */
  async abandoned(): Promise<readonly DeviceName[]> {
    return (await this.#left()).filter(({ maker }) => maker !== PUSHED).map(({ name }) => name);
  }

  async #left(): Promise<readonly DeviceInfo[]> {
    const left: DeviceInfo[] = [];
    for await (const device of this.#parts.pool.eachDevice())
      if (await this.#isLeft(device)) left.push(device);
    return left;
  }

  /**
   * Removes those whose maker is gone, or one of them; what cannot be removed now is tried again. Never
   * rejects.
   */
  async sweep(only?: DeviceName): Promise<void> {
    this.#sweeping = this.#sweeping.then(async () => {
      for (const name of only === undefined ? (await this.#left()).map((device) => device.name) : [only])
        await this.#remove(name).catch(() => undefined);
    });
    await this.#sweeping;
  }

  async #remove(name: DeviceName): Promise<void> {
    const { pool, changes, use } = this.#parts;
    const isLeft = async (): Promise<boolean> => {
      const device = pool.device(name);
      return device !== undefined && (await this.#isLeft(device));
    };
    // A complete device needs no wait.
    if (!(await isLeft())) return;
    await changes.run([name], async () => {
      if (!(await isLeft())) return;
      await use.release(name);
      await pool.remove(name);
    });
  }

  /**
   * A maker as a device's record has it. One that this process cannot see, because it is in a container, is
   * taken to live as long as this one.
   *
   *   noted := maker | maker "@" maker
   */
  async noted(maker: string | undefined): Promise<string | undefined> {
    const { isAtWork, makerOf } = this.#parts.makers;
    if (maker === undefined || (await isAtWork(maker))) return maker;
    return `${maker}@${(await makerOf(process.pid)) ?? ''}`;
  }

  async #isLeft({ name, maker, origin }: DeviceInfo): Promise<boolean> {
    const { isAtWork, makerOf } = this.#parts.makers;
    if (maker === KEPT_PART) return false;
    if (maker === PUSHED) return origin === undefined || !this.#parts.pool.has(origin);
    if (maker !== '') return !(await isAtWork(maker.split('@').at(-1) ?? ''));
    // As a thinfuse of before left them.
    const pid = passingPid(name);
    return pid !== undefined && (await makerOf(pid)) === undefined;
  }
}

export function isMadeBy({ maker }: DeviceInfo, other: string | undefined): boolean {
  return other !== undefined && maker.split('@')[0] === other;
}
