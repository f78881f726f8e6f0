/** What scripts/bench-remote.sh measures; see there. */
import { parseArgs } from 'node:util';
import { describeMachine, toolVersions } from '../../bench/machine.js';
import { Lab, type StoreKind } from './lab.js';
import { Results } from './results.js';
import { changed, fetch, memory, prepare, push, reads, start, type Bench } from './rows.js';

const ROWS = { start, fetch, push, changed, reads, memory };

const text = { type: 'string', default: '' } as const;
const { values } = parseArgs({
  options: {
    lab: text,
    folder: text,
    cli: text,
    store: text,
    rounds: text,
    rtt: text,
    rows: text,
    size: text,
    roots: text,
    json: text,
  },
});
const kind = values.store as StoreKind;
const bench: Bench = {
  lab: new Lab({ id: values.lab, folder: values.folder, cli: values.cli }),
  results: new Results(values.json, {
    machine: await describeMachine(values.folder),
    tools: await toolVersions(),
    arguments: values,
  }),
  kind,
  rounds: Number(values.rounds),
  roundTrips: values.rtt.split(',').map(Number),
  size: Number(values.size),
  roots: values.roots.split(',').map((root) => {
    const at = root.indexOf('=');
    return { name: root.slice(0, at), tar: root.slice(at + 1) };
  }),
};
await prepare(bench);
for (const name of values.rows.split(',')) {
  const row = ROWS[name as keyof typeof ROWS] as ((bench: Bench) => Promise<void>) | undefined;
  if (row === undefined) throw new Error(`there is no row ${name}; they are ${Object.keys(ROWS).join(', ')}`);
  console.log(`\n== ${name}`);
  await row(bench);
}
bench.results.print();
