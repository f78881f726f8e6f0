import { SingleBar } from 'cli-progress';

/**
 * A bar, or a line, on the terminal's standard error, which goes when it ends. A module of its own, so that
 * commands that are done at once do not load what draws it.
 * @param format as cli-progress has it
 */
export function terminalBar(format: string): SingleBar {
  return new SingleBar({ stream: process.stderr, format, hideCursor: true, clearOnComplete: true });
}
