import { readFile, rename, writeFile } from 'node:fs/promises';
import { JOBS } from './jobs.js';
import { judge } from './judge.js';
import { describeMachine, toolVersions } from './machine.js';
import { parseOptions, type BenchOptions } from './options.js';
import { summariesOf, type Run } from './run.js';
import { Suite } from './suite.js';
import { judgementTable, report } from './table.js';
import { ALL_TARGETS, FIGURE_TARGETS, USUAL_TARGETS } from './targets/registry.js';

/** main.ts check ARG... | main.ts run FOLDER ARG...: what scripts/bench.sh calls. */
async function main([verb, ...rest]: readonly string[]): Promise<void> {
  const [folder = '', ...args] = verb === 'run' ? rest : ['', ...rest];
  const options = parseOptions(
    args,
    ALL_TARGETS.map(({ name }) => name),
  );
  if (verb === 'check') return;
  const run =
    options.from === undefined
      ? await measure(folder, args, options)
      : (JSON.parse(await readFile(options.from, 'utf8')) as Run);
  if (options.json !== undefined) await save(options.json, run);
  console.log(report(run));
  if (options.judge) console.log(`\n${judgementTable(judge(run))}`);
}

/** Whole at any moment. */
async function save(file: string, run: Run): Promise<void> {
  const found = { ...run, summaries: summariesOf(run), judgement: judge(run) };
  await writeFile(`${file}.part`, `${JSON.stringify(found, undefined, 2)}\n`);
  await rename(`${file}.part`, file);
}

async function measure(folder: string, args: readonly string[], options: BenchOptions): Promise<Run> {
  const { scale, only, jobs, figures } = options;
  const usual = figures ? FIGURE_TARGETS : USUAL_TARGETS;
  const targets = only === undefined ? usual : ALL_TARGETS.filter(({ name }) => only.includes(name));
  const machine = await describeMachine(folder);
  const versions = await toolVersions();
  const suite = new Suite({
    scale,
    folder,
    jobs,
    tell: (text) => console.error(`   ${text}`),
    // A run that is cut short keeps what it has.
    onMeasured: async () => {
      if (options.json !== undefined) await save(options.json, runSoFar());
    },
  });
  const runSoFar = (): Run => ({
    takenAt: new Date().toISOString(),
    command: ['scripts/bench.sh', ...args].join(' '),
    machine,
    versions,
    scale,
    targets: targets.map(({ name, description }) => ({ name, description })),
    jobs: JOBS.filter(({ name }) => jobs?.includes(name) ?? true).map(({ name, title, unit }) => ({
      name,
      title,
      unit,
    })),
    ...suite.findings,
  });
  await suite.run(targets);
  return runSoFar();
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
