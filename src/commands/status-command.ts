import type { Command } from 'commander';
import type { DaemonStatus } from '../api/operations.js';
import { liveSettings } from '../config/live-settings.js';
import { formatBinarySize } from '../config/sizes.js';
import { withDaemon } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { print, printJson, printResult } from './output.js';
import { poolSpace, type PoolSpace } from '../daemon/pool-space.js';

export function registerStatusCommand(program: Command): void {
  program
    .command('status')
    .summary('show the state of the daemon')
    .description(
      'Shows whether a daemon runs and what it serves. --dm prints the status line that dmsetup prints for a thin pool.',
    )
    .option('--dm', "dm-thin's own status line")
    .addHelpText('after', example('thinfuse status --json', 'thinfuse status --dm'))
    .action(async (options: { dm?: boolean }, command: Command) => {
      const context = contextOf(command);
      const { status, info } = await withDaemon(context, async (caller) => {
        const [status, info] = await Promise.all([caller.call('status', {}), caller.call('pool.info', {})]);
        return { status, info };
      });
      if (options.dm === true) {
        printResult(context, { dm: status.dm }, status.dm);
        return;
      }
      const space = await poolSpace(context.layout, info);
      const startedAt = new Date(status.startedAt).toISOString();
      if (context.json) printJson({ ...status, startedAt, space, lacks: status.lacks });
      else
        print(
          [
            `pid: ${status.pid}`,
            `started: ${startedAt}`,
            `root: ${status.root}`,
            `pool: ${status.pool}`,
            `transport: ${status.transport}`,
            `mode: ${status.mode}`,
            `transaction: ${status.transactionId}`,
            `devices: ${status.devices.total} (${status.devices.active} active, ${status.devices.mounted} mounted)`,
            ...spaceLines(space),
            ...remoteLines(status.remote),
            ...(status.lacks === undefined ? [] : [`lacks: ${status.lacks}`]),
            ...Object.entries(liveSettings(status.settings)).map(([key, value]) => `${key}: ${value}`),
          ].join('\n'),
        );
    });
}

function spaceLines({ data, metadata, host }: PoolSpace): readonly string[] {
  const [total, used, free] = [data.total, data.used, data.available].map(formatBinarySize);
  return [
    `data: ${data.path} (${data.kind === 'leveldb' ? 'LevelDB' : data.kind})`,
    `data space: ${used} of ${total} used, ${free} free`,
    `metadata space: ${formatBinarySize(metadata.used)} of ${formatBinarySize(metadata.total)} used`,
    host.free === undefined
      ? `host: the disk is the pool's alone`
      : `host: ${formatBinarySize(host.bytes)} taken, ${formatBinarySize(host.free)} free`,
  ];
}

/** Nothing where nothing is remote. */
function remoteLines(figures: DaemonStatus['remote']): string[] {
  if (figures === undefined || figures.remote === 0) return [];
  const { remote, inFlight, problem } = figures;
  const fetching = inFlight > 0 ? `, ${formatBinarySize(inFlight)} are being fetched` : '';
  const failing = problem === undefined ? '' : `; ${problem}`;
  return [`remote: ${formatBinarySize(remote)} are in stores elsewhere${fetching}${failing}`];
}
