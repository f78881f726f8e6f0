import type { Command } from 'commander';
import { ThinError } from '../errors/thin-error.js';
import { withPool } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { print, printJson } from './output.js';

export function registerCheckCommand(program: Command): void {
  program
    .command('check')
    .summary("verify the pool's metadata")
    .description(
      'Reads all metadata and verifies it, as thin_check does; works beside a running daemon. Fails (7) if something is wrong.',
    )
    .addHelpText('after', example('thinfuse check --json'))
    .action(async (_options: unknown, command: Command) => {
      const context = contextOf(command);
      const report = await withPool(context, (caller) => caller.call('pool.check', {}));
      if (context.json) printJson(report);
      else
        print(
          [
            ...report.findings.map(({ path, problem }) => `${path}: ${problem}`),
            `${String(report.devices)} devices, ${String(report.nodes)} nodes, ${String(report.chunks)} chunks: ${report.ok ? 'no problem found' : 'damaged'}`,
          ].join('\n'),
        );
      if (!report.ok)
        throw new ThinError(
          'damaged',
          `the pool of ${context.layout.root} has ${String(report.findings.length)} problems; keep a copy of it before anything else`,
        );
    });
}
