import { AsyncLocalStorage } from 'node:async_hooks';
import { runCommandLine } from '../../src/cli/run.js';
import { standardError, standardOutput } from '../../src/commands/standard-stream.js';

/**
 * The process behind `CliSession`: runs what it is told, several at once if asked to, each with an output of
 * its own.
 */
export interface CliOrder {
  readonly number: number;
  readonly args: readonly string[];
}

export interface CliOutcome {
  readonly number: number;
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

type Output = Record<'stdout' | 'stderr', string>;

const running = new AsyncLocalStorage<Output>();

for (const [name, stream] of [
  ['stdout', standardOutput],
  ['stderr', standardError],
] as const)
  stream.write = (piece: string | Uint8Array): void => {
    const output = running.getStore();
    if (output !== undefined) output[name] += Buffer.from(piece).toString();
  };

process.on('message', ({ number, args }: CliOrder) => {
  const output: Output = { stdout: '', stderr: '' };
  void running
    .run(output, () => runCommandLine(['node', 'thinfuse', ...args]))
    .then((code) => process.send?.({ number, code, ...output } satisfies CliOutcome));
});
process.on('disconnect', () => process.exit(0));
