import { readFile, rename } from 'node:fs/promises';
import * as z from 'zod';
import type { UiHistory, UiSample } from '../api/ui.js';
import { openOwnFile } from '../host/own-paths.js';
import type { ThinPool } from '../pool/thin-pool.js';

/** Milliseconds between two samples. */
const INTERVAL = 60_000;
const DAY = 24 * 60 * INTERVAL;
/** Samples after which they are written down, so that a daemon that dies takes no more along. */
const WRITTEN_EVERY = 15;

const kept = z.array(
  z.object({
    time: z.number(),
    used: z.number(),
    total: z.number(),
    hostFree: z.number().optional(),
    readBytes: z.number(),
    writtenBytes: z.number(),
  }),
);

/**
 * A pool's space and traffic of the last 24 hours, a sample a minute: 1440 of them at most, also over a
 * restart of the daemon.
 */
export class UsageHistory {
  readonly #pool: Pick<ThinPool, 'info' | 'figures'>;
  readonly #file: string;
  readonly #now: () => number;
  #samples: UiSample[] = [];
  #unwritten = 0;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** @param file where they are kept while no daemon runs */
  constructor(pool: Pick<ThinPool, 'info' | 'figures'>, file: string, now: () => number = Date.now) {
    this.#pool = pool;
    this.#file = file;
    this.#now = now;
  }

  /** Goes on with what was kept; a file that cannot be read is no history. */
  async start(): Promise<void> {
    const text = await readFile(this.#file, 'utf8').catch(() => '[]');
    try {
      this.#samples = kept.parse(JSON.parse(text));
    } catch {
      this.#samples = [];
    }
    this.sample();
    this.#timer = setInterval(() => this.sample(), INTERVAL).unref();
  }

  sample(): void {
    const sample = this.#look();
    this.#samples.push(sample);
    const oldest = this.#samples.findIndex(({ time }) => time > sample.time - DAY);
    this.#samples.splice(0, Math.max(oldest, this.#samples.length - DAY / INTERVAL));
    if (++this.#unwritten >= WRITTEN_EVERY) void this.#write();
  }

  /** With what is now as its last sample. */
  get(): UiHistory {
    return { interval: INTERVAL, samples: [...this.#samples, this.#look()] };
  }

  #look(): UiSample {
    const { dataUsed: used, dataTotal: total } = this.#pool.info();
    const { traffic, host } = this.#pool.figures();
    const { readBytes, writtenBytes } = traffic;
    return { time: this.#now(), used, total, hostFree: host?.free, readBytes, writtenBytes };
  }

  async stop(): Promise<void> {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    await this.#write();
  }

  /** Never rejects: a disk that is full costs the history, not the pool. */
  #write(): Promise<void> {
    this.#unwritten = 0;
    const text = JSON.stringify(this.#samples);
    this.#writing = this.#writing
      .then(async () => {
        const file = await openOwnFile(`${this.#file}.new`, 'replace');
        await file.writeFile(text).finally(() => file.close());
        await rename(`${this.#file}.new`, this.#file);
      })
      .catch(() => undefined);
    return this.#writing;
  }
}
