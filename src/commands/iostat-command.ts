import { isatty } from 'node:tty';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Caller } from '../api/operations.js';
import { ioCounts, ioRates, ioTable, type IoCounts } from '../docker/io-table.js';
import { ThinError } from '../errors/thin-error.js';
import { withDaemon } from './connect.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { print } from './output.js';

/** Seconds between two looks of `top`. */
const TOP_INTERVAL = 2;
const CLEAR = '\u001b[H\u001b[J';

export function registerIostatCommands(program: Command): void {
  program
    .command('iostat')
    .summary('show what devices read and write')
    .description(
      'Prints for each device its requests and bytes a second, the time of a request, and hits in the cache: since the device became active, or every INTERVAL seconds since the last report. With --json, one JSON object a report.',
    )
    .argument('[interval]', 'seconds')
    .argument('[count]', 'reports; without end otherwise')
    .addHelpText('after', example('thinfuse iostat', 'thinfuse iostat 1 10'))
    .action(
      async (
        interval: string | undefined,
        count: string | undefined,
        _options: unknown,
        command: Command,
      ) => {
        const context = contextOf(command);
        const every = interval === undefined ? undefined : positive(interval, 'INTERVAL');
        const reports = count === undefined ? Infinity : positive(count, 'COUNT');
        await withDaemon(context, (caller) =>
          every === undefined
            ? once(context, caller)
            : follow(context, caller, { every, reports, before: '' }),
        );
      },
    );

  program
    .command('top')
    .summary('follow what devices read and write')
    .description('Repeats the report of iostat 2 in place, the busiest device first, until you interrupt it.')
    .addHelpText('after', example('thinfuse top'))
    .action(async (_options: unknown, command: Command) => {
      const context = contextOf(command);
      const before = isatty(1) && !context.json ? CLEAR : '';
      await withDaemon(context, (caller) =>
        follow(context, caller, { every: TOP_INTERVAL, reports: Infinity, before }),
      );
    });
}

async function once(context: Context, caller: Caller): Promise<void> {
  const { startedAt } = await caller.call('status', {});
  tell(context, new Map(), await look(caller), (Date.now() - startedAt) / 1000, '');
}

async function follow(
  context: Context,
  caller: Caller,
  { every, reports, before }: { readonly every: number; readonly reports: number; readonly before: string },
): Promise<void> {
  let last = await look(caller);
  let at = performance.now();
  for (let report = 0; report < reports; report++) {
    await sleep(every * 1000);
    const now = await look(caller);
    const seconds = (performance.now() - at) / 1000;
    tell(context, last, now, seconds, before);
    [last, at] = [now, performance.now()];
  }
}

async function look(caller: Caller): Promise<ReadonlyMap<string, IoCounts>> {
  return ioCounts((await caller.call('metrics', {})).text);
}

function tell(
  context: Context,
  before: ReadonlyMap<string, IoCounts>,
  now: ReadonlyMap<string, IoCounts>,
  seconds: number,
  lead: string,
): void {
  const rates = ioRates(before, now, seconds);
  if (context.json)
    print(
      JSON.stringify({
        time: new Date().toISOString(),
        seconds,
        devices: [...rates].map(([name, each]) => ({ name, ...each, hitPercent: each.hitPercent ?? null })),
      }),
    );
  else print(`${lead}${ioTable(rates)}\n${lead === '' ? '\n' : ''}`);
}

function positive(text: string, what: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new ThinError('invalid-argument', `${what}: ${JSON.stringify(text)} is not a number above 0`);
}
