import { isatty } from 'node:tty';
import { formatBinarySize } from '../config/sizes.js';
import type { Progress } from '../host/archive.js';
import type { Context } from './context.js';

/** Milliseconds: what is done sooner shows nothing. */
const PATIENCE_MS = 700;
const BEAT_MS = 200;

/**
 * A bar on the terminal's standard error; nothing where there is no terminal, or where a script reads along.
 */
export async function withProgress<T>(
  { json }: Context,
  label: string,
  work: (onProgress: ((progress: Progress) => void) | undefined) => Promise<T>,
): Promise<T> {
  if (json || !isatty(2)) return work(undefined);
  const { terminalBar } = await import('./progress-bar.js');
  const bar = terminalBar(`${label} [{bar}] {percentage}% {done} of {all}, {eta_formatted} left`);
  let started = 0;
  try {
    return await work(({ done, total }) => {
      const shown = { done: formatBinarySize(done), all: formatBinarySize(total) };
      if (started++ > 0) {
        bar.setTotal(total);
        bar.update(done, shown);
      } else bar.start(total, done, shown);
    });
  } finally {
    if (started > 0) bar.stop();
  }
}

/**
 * On a terminal's standard error, a line that says what is under way and for how long; gone at the end. For
 * work of which the rest is unknown; else `withProgress`. `say` adds how far it is.
 */
export async function whileWorking<T>(
  { json }: Pick<Context, 'json'>,
  label: string,
  work: (say: (text: string) => void) => Promise<T>,
): Promise<T> {
  if (json || !isatty(2)) return work(() => undefined);
  const { terminalBar } = await import('./progress-bar.js');
  const bar = terminalBar(`${label} {said}({duration_formatted})`);
  let said = '';
  const began = performance.now();
  const timer = setInterval(() => {
    if (performance.now() - began < PATIENCE_MS) return;
    if (bar.isActive) bar.update({ said });
    else bar.start(1, 0, { said });
  }, BEAT_MS).unref();
  try {
    return await work((text) => {
      said = text === '' ? '' : `${text} `;
    });
  } finally {
    clearInterval(timer);
    if (bar.isActive) bar.stop();
  }
}

/** Says how many bytes of text have gone through. */
export async function* told(
  text: AsyncIterable<string>,
  say: (text: string) => void,
): AsyncGenerator<string> {
  let bytes = 0;
  for await (const piece of text) {
    bytes += Buffer.byteLength(piece);
    say(formatBinarySize(bytes));
    yield piece;
  }
}

/** Asks every half second while `work` is under way; what cannot be asked is passed over. */
export async function asking<T>(look: () => Promise<void>, work: () => Promise<T>): Promise<T> {
  let isOver = false;
  const timer = setInterval(() => {
    if (!isOver) void look().catch(() => undefined);
  }, 500).unref();
  try {
    return await work();
  } finally {
    isOver = true;
    clearInterval(timer);
  }
}
