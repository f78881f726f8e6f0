import type { Command } from 'commander';
import { formatTable } from '../docker/table.js';
import type { Operations } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import { withPool } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { printResult } from './output.js';
import { parseCount } from './snapshot-option.js';

/**
 * What dm-thin's pool target takes as messages (dm-thin.rst): reserve_, release_metadata_snap,
 * set_transaction_id.
 */
export function registerMetadataSnapCommands(program: Command): void {
  program
    .command('reserve')
    .summary('keep the metadata of this moment')
    .description(
      'Reserves a metadata snapshot and prints its number. dump, delta and rmap read it with --metadata-snap while devices change. A pool can have any number of them. Chunks that devices overwrite keep their space until the metadata snapshot is released.',
    )
    .addHelpText('after', example('thinfuse reserve', 'thinfuse dump --metadata-snap'))
    .action(async (_options: unknown, command: Command) => {
      const context = contextOf(command);
      const reserved = await withPool(context, (caller) => caller.call('metadata.reserve', {}));
      printResult(context, snapshotJson(reserved), String(reserved.id));
    });

  program
    .command('reserved')
    .summary('list metadata snapshots')
    .description('Lists the metadata snapshots that are reserved, the oldest first.')
    .addHelpText('after', example('thinfuse reserved'))
    .action(async (_options: unknown, command: Command) => {
      const context = contextOf(command);
      const reserved = await withPool(context, (caller) => caller.call('metadata.reserved', {}));
      const table = formatTable(
        [
          { title: 'SNAPSHOT', right: true },
          { title: 'TRANSACTION', right: true },
          { title: 'DEVICES', right: true },
          { title: 'CREATED' },
        ],
        reserved.map(({ id, transactionId, devices, createdAt }) => [
          String(id),
          String(transactionId),
          String(devices),
          new Date(createdAt).toISOString(),
        ]),
      );
      printResult(context, reserved.map(snapshotJson), table);
    });

  program
    .command('release')
    .summary('release metadata snapshots')
    .description(
      'Releases the given metadata snapshots, or all. The daemon frees their space in the background.',
    )
    .argument('[number...]', 'as reserve printed them')
    .option('-a, --all', 'all that are reserved')
    .addHelpText('after', example('thinfuse release 1', 'thinfuse release --all'))
    .action(async (numbers: readonly string[], options: { all?: boolean }, command: Command) => {
      const context = contextOf(command);
      if ((numbers.length === 0) !== (options.all === true))
        throw new ThinError('invalid-argument', 'release takes the numbers of metadata snapshots, or --all');
      const given = numbers.map((text) => parseCount(text, 'the number of a metadata snapshot'));
      const released = await withPool(context, async (caller) => {
        const ids =
          options.all === true ? (await caller.call('metadata.reserved', {})).map(({ id }) => id) : given;
        for (const snapshot of ids) await caller.call('metadata.release', { snapshot });
        return ids;
      });
      printResult(context, { released }, released.map(String).join('\n'));
    });

  program
    .command('set-transaction-id')
    .summary('change the transaction id, if it has the expected value')
    .description('Sets the transaction id of the pool to NEW if it is OLD, and fails otherwise.')
    .argument('<old>')
    .argument('<new>')
    .addHelpText('after', example('thinfuse set-transaction-id 7 8'))
    .action(async (old: string, next: string, _options: unknown, command: Command) => {
      const context = contextOf(command);
      const input = { from: parseCount(old, 'OLD'), to: parseCount(next, 'NEW') };
      await withPool(context, (caller) => caller.call('pool.setTransactionId', input));
      printResult(context, { transactionId: input.to }, String(input.to));
    });
}

function snapshotJson({
  createdAt,
  ...rest
}: Operations['metadata.reserve']['output']): Readonly<Record<string, unknown>> {
  return { ...rest, createdAt: new Date(createdAt).toISOString() };
}
