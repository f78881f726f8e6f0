import type { Logger } from 'pino';
import { toThinError } from '../errors/thin-error.js';
import type { Automount, DeviceInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { DeviceAccess } from './device-access.js';

/** Each is a tool's work. */
const AT_ONCE = 8;

/** Mounts what is to be mounted at each start. */
export class Automounts {
  readonly #pool: ThinPool;
  readonly #access: DeviceAccess;
  readonly #log: Logger;

  constructor(parts: { pool: ThinPool; access: DeviceAccess; log: Logger }) {
    this.#pool = parts.pool;
    this.#access = parts.access;
    this.#log = parts.log;
  }

  /**
   * Resolves when all are mounted; one that cannot be mounted is logged, and the others are mounted all the
   * same. Those on a target of their own come one after the other: it may lie in another one's files.
   */
  async start(): Promise<void> {
    const nested: DeviceInfo[] = [];
    const apart: DeviceInfo[] = [];
    for await (const device of this.#pool.eachDevice())
      if (device.automount !== undefined && !device.deleted && device.maker === '')
        (device.automount.target === '' ? apart : nested).push(device);
    for (let at = 0; at < apart.length; at += AT_ONCE)
      await Promise.all(apart.slice(at, at + AT_ONCE).map((device) => this.#mount(device)));
    nested.sort((a, b) => (targetOf(a) < targetOf(b) ? -1 : 1));
    for (const device of nested) await this.#mount(device);
  }

  async #mount({ name, automount }: DeviceInfo): Promise<void> {
    try {
      const { target } = await this.#access.mount(name, askOf(automount!));
      this.#log.info({ event: 'automount', device: name, target }, `${name} is mounted on ${target}`);
    } catch (error) {
      this.#log.warn(
        { event: 'automount', device: name, code: toThinError(error).code },
        `${name} is not mounted, though it should be: ${toThinError(error).message}`,
      );
    }
  }
}

function targetOf({ automount }: DeviceInfo): string {
  return automount?.target ?? '';
}

function askOf({ target, readOnly, options, allowOther }: Automount): Parameters<DeviceAccess['mount']>[1] {
  return { readOnly, options, allowOther, ...(target === '' ? {} : { target }) };
}
