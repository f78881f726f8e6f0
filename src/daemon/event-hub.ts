import * as z from 'zod';

/** A line of the daemon's log, which is one event. */
export interface DaemonEvent {
  /** Unix time, milliseconds. */
  readonly time: number;
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  /** What kind: `mode`, `space`, `call`, `deferred-deletion`, `stale`, ... */
  readonly event: string;
  readonly message: string;
  /** What else the line holds. */
  readonly details: Readonly<Record<string, unknown>>;
}

/** Events kept for callers that ask for past events. */
const KEPT = 1000;
/** Milliseconds after which a follower is given nothing, so that one whose reader left is noticed. */
const BEAT = 10_000;

const line = z.looseObject({
  time: z.number(),
  level: z.number(),
  event: z.string().default('log'),
  msg: z.string().default(''),
});

/**
 * Keeps the last events and hands new ones to those who follow. A stream to a logger: what is logged is what
 * is told.
 */
export class EventHub {
  readonly #kept: DaemonEvent[] = [];
  readonly #followers = new Set<(event: DaemonEvent) => void>();
  readonly #counts = new Map<string, { event: string; level: DaemonEvent['level']; count: number }>();

  /** One line of pino's. What is none is passed over. */
  write(text: string): void {
    const event = parseEvent(text);
    if (event === undefined) return;
    this.#kept.push(event);
    if (this.#kept.length > KEPT) this.#kept.shift();
    const key = `${event.event} ${event.level}`;
    const counted = this.#counts.get(key) ?? { event: event.event, level: event.level, count: 0 };
    this.#counts.set(key, { ...counted, count: counted.count + 1 });
    for (const follower of this.#followers) follower(event);
  }

  /** The last that are kept, at most `count`, ascending. */
  last(count: number): readonly DaemonEvent[] {
    return this.#kept.slice(-count);
  }

  /** How many there were since the start, by kind and level. */
  counts(): readonly { readonly event: string; readonly level: string; readonly count: number }[] {
    return [...this.#counts.values()];
  }

  /** Events as JSON lines, and empty pieces between them; without `follow`, those that are kept. */
  async *lines({ past, follow }: { past: boolean; follow: boolean }): AsyncGenerator<string> {
    const waiting: DaemonEvent[] = past ? [...this.#kept] : [];
    let wake = (): void => undefined;
    const follower = (event: DaemonEvent): void => {
      waiting.push(event);
      // A reader that does not read must not fill the memory.
      if (waiting.length > KEPT) waiting.shift();
      wake();
    };
    this.#followers.add(follower);
    try {
      for (;;) {
        for (let event = waiting.shift(); event !== undefined; event = waiting.shift())
          yield `${JSON.stringify(event)}\n`;
        if (!follow) return;
        const timer = await new Promise<boolean>((resolve) => {
          const beat = setTimeout(() => resolve(true), BEAT);
          beat.unref();
          wake = () => {
            clearTimeout(beat);
            resolve(false);
          };
        });
        if (timer) yield '';
      }
    } finally {
      this.#followers.delete(follower);
    }
  }
}

/** Undefined: no line of the log. */
export function parseEvent(text: string): DaemonEvent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = line.safeParse(value);
  if (!parsed.success) return undefined;
  const { time, level, event, msg, ...rest } = parsed.data;
  const details = Object.fromEntries(
    Object.entries(rest).filter(([key]) => key !== 'pid' && key !== 'hostname'),
  );
  return { time, level: levelName(level), event, message: msg, details };
}

function levelName(level: number): DaemonEvent['level'] {
  if (level >= 50) return 'error';
  if (level >= 40) return 'warn';
  return level >= 30 ? 'info' : 'debug';
}

/** A line of `EventHub.lines`. */
export function parseDaemonEvent(text: string): DaemonEvent {
  // The serving side is the same program.
  return JSON.parse(text) as DaemonEvent;
}

/** For people: `2024-01-02T03:04:05.678Z warn mode: the pool is now ...`. */
export function eventText({ time, level, event, message, details }: DaemonEvent): string {
  const { operation, input, ms } = details;
  const call = typeof operation === 'string' ? ` ${operation}${fieldsOf(input)}` : '';
  // What a call did is told in words; of one that failed, what was asked.
  if (call !== '' && message !== '' && level === 'info') return `${new Date(time).toISOString()} ${message}`;
  const took = typeof ms === 'number' ? ` (${ms} ms)` : '';
  const said = message === '' ? '' : `: ${message}`;
  return `${new Date(time).toISOString()} ${level} ${event}${call}${took}${said}`;
}

function fieldsOf(input: unknown): string {
  if (typeof input !== 'object' || input === null) return '';
  return Object.entries(input)
    .filter(([, value]) => ['string', 'number', 'boolean'].includes(typeof value))
    .map(([key, value]) => ` ${key}=${value}`)
    .join('');
}
