import { isatty } from 'node:tty';
import { SingleBar } from 'cli-progress';
import { formatBinarySize } from '../config/sizes.js';
import type { Progress } from '../host/archive.js';
import type { Context } from './context.js';

/**
 * A bar on the terminal's standard error; nothing where there is no terminal, or where a script reads along.
 */
export async function withProgress<T>(
  { json }: Context,
  label: string,
  work: (onProgress: ((progress: Progress) => void) | undefined) => Promise<T>,
): Promise<T> {
  if (json || !isatty(2)) return work(undefined);
  const bar = new SingleBar({
    stream: process.stderr,
    format: `${label} [{bar}] {percentage}% {done} of {all}, {eta_formatted} left`,
    hideCursor: true,
    clearOnComplete: true,
  });
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
