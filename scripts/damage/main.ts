import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { Judges, problemOf, Tally } from './campaign.js';
import { casesOf, placesOf, type Place } from './injury.js';
import { makeSubject, poolKindOf, type SubjectKind } from './subject.js';

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    cases: { ...text, default: '1000' },
    seed: { ...text, default: '1' },
    pool: { ...text, default: 'leveldb' },
    places: { ...text, default: 'all' },
    processes: { ...text, default: '2' },
    verbose: { type: 'boolean', default: false },
  },
});

const seed = Number(values.seed);
const kind = values.pool as SubjectKind;
const known = placesOf(poolKindOf(kind));
const places = values.places === 'all' ? known : (values.places.split(',') as Place[]);
const unknown = places.find((place) => !known.includes(place));
if (unknown !== undefined) {
  console.error(
    `--places: a ${kind} pool has no ${JSON.stringify(unknown)}; choose from ${known.join(', ')}, all`,
  );
  process.exit(2);
}
const scratch = mkdtempSync(path.join(tmpdir(), 'thinfuse-damage-'));
process.once('exit', () => rmSync(scratch, { recursive: true, force: true }));

const root = path.join(scratch, 'subject');
const subject = { root, kind, history: await makeSubject(root, { kind, seed, scratch }) };
const judges = new Judges(scratch, subject);
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    judges.close();
    process.exit(1);
  });
let problems = 0;
for (const place of places) {
  const tally = new Tally();
  const cases = casesOf(place, Number(values.cases), seed);
  await judges.run(cases, Number(values.processes), (one, outcome) => {
    tally.add(outcome);
    const problem = problemOf(outcome);
    if (problem !== undefined) problems++;
    if (problem !== undefined || values.verbose)
      console.log(`${place} ${one.how}, seed ${one.seed}: ${problem ?? JSON.stringify(outcome)}`);
  });
  console.log(`${kind} pool, ${place}: ${tally.text()}`);
}
process.exitCode = problems > 0 ? 1 : 0;
