import { setTimeout as sleep } from 'node:timers/promises';
import type { Caller } from '../api/operations.js';

/** Milliseconds between two looks at what the daemon has told. */
const LOOK_MS = 2000;

export interface ToolProgress {
  /** Where the filesystem is mounted that a tool of the daemon is at; undefined: nothing is told. */
  readonly place: string | undefined;
  readonly onProgress: (text: string) => void;
  readonly lookMs?: number;
}

/**
 * While `work` waits for a tool of the daemon, passes on what the daemon says about it. Neither ends nor
 * delays `work`.
 */
export async function withToolProgress<T>(
  caller: Pick<Caller, 'text'>,
  progress: ToolProgress,
  work: () => Promise<T>,
): Promise<T> {
  if (progress.place === undefined) return work();
  const over = new AbortController();
  const told = follow(caller, progress, over.signal).catch(() => undefined);
  try {
    return await work();
  } finally {
    over.abort();
    await told;
  }
}

async function follow(
  caller: Pick<Caller, 'text'>,
  { place, onProgress, lookMs = LOOK_MS }: ToolProgress,
  signal: AbortSignal,
): Promise<void> {
  // Everyday commands load this file, and that one takes longer to load than they do to run.
  const { parseDaemonEvent } = await import('../daemon/event-hub.js');
  let since = Date.now();
  while (await sleep(lookMs, true, { signal, ref: false }).catch(() => false))
    for await (const line of caller.text('events', { past: true, follow: false })) {
      if (line === '') continue;
      const { event, time, message } = parseDaemonEvent(line);
      if (event !== 'host' || time <= since || !message.includes(` on ${place} `)) continue;
      since = time;
      onProgress(message);
    }
}
