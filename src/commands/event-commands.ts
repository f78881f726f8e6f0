import type { Command } from 'commander';
import { eventText, parseDaemonEvent, type DaemonEvent } from '../daemon/event-hub.js';
import { ThinError } from '../errors/thin-error.js';
import { withDaemon } from './connect.js';
import { contextOf } from './context.js';
import { example } from './example.js';
import { note, print, printJson } from './output.js';

export function registerEventCommands(program: Command): void {
  program
    .command('events')
    .summary('follow the events of the pool')
    .description(
      'Prints events as they come, one a line, until you interrupt it: changes of devices and modes, thresholds and growth of space, deferred deletions, faults. The daemon writes the same to its log, and with start --log-level debug also its own steps. With --json, prints one JSON object a line.',
    )
    .option('--past', 'past events, at most 1000, and then end')
    .option('--follow', 'with --past, go on with those to come')
    .addHelpText('after', example('thinfuse events', 'thinfuse --json events --past | jq -r .event'))
    .action(async ({ past = false, follow = false }: EventFlags, command: Command) => {
      const context = contextOf(command);
      const input = { past, follow: follow || !past };
      await withDaemon(context, async (caller) => {
        try {
          for await (const line of caller.text('events', input)) {
            if (line === '') continue;
            const event = parseDaemonEvent(line);
            print(context.json ? JSON.stringify(eventJson(event)) : eventText(event));
          }
        } catch (error) {
          if (!(error instanceof ThinError) || error.code !== 'closed') throw error;
          note('the daemon has stopped');
        }
      });
    });

  program
    .command('metrics')
    .summary('print the metrics of the daemon')
    .description(
      "Prints the daemon's figures in Prometheus' text format, as GET /metrics on the control socket does.",
    )
    .addHelpText('after', example('thinfuse metrics | grep thinfuse_data'))
    .action(async (_options: unknown, command: Command) => {
      const context = contextOf(command);
      const { text } = await withDaemon(context, (caller) => caller.call('metrics', {}));
      if (context.json) printJson({ text });
      else print(text);
    });
}

interface EventFlags {
  readonly past?: boolean;
  readonly follow?: boolean;
}

function eventJson({ time, ...rest }: DaemonEvent): Readonly<Record<string, unknown>> {
  return { time: new Date(time).toISOString(), ...rest };
}
