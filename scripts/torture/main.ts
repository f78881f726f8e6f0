import { runCampaign } from './campaign.js';
import { parseOptions } from './options.js';

/** main.ts check ARG... | main.ts run FOLDER CLI ARG...: what scripts/torture.sh calls. */
async function main([verb, ...rest]: readonly string[]): Promise<void> {
  if (verb === 'check') {
    parseOptions(rest);
    return;
  }
  const [folder = '', cli = '', ...args] = rest;
  const options = parseOptions(args);
  const { rounds, seed, pool, transport, power } = options;
  const name = `${pool}, ${transport}, seed ${seed}${power === undefined ? '' : `, power cuts on ${power}`}`;
  console.log(`   ${rounds} rounds on ${name}`);
  const begun = Date.now();
  try {
    const summary = await runCampaign({
      ...options,
      folder,
      cli: [process.execPath, cli],
      tell: (text) => console.log(`   ${text}`),
    });
    const { kills, startKills, verified, snapshotsVerified, syncs, operations } = summary;
    console.log(
      [
        `${name}: nothing lost`,
        ...(power === undefined
          ? []
          : [
              `   ${rounds} cuts, with ${summary.unsynced} sectors that were not synced, ${summary.kept} of them kept`,
            ]),
        `   ${kills} daemons killed at work, ${startKills} while they started, in ${String(Math.round((Date.now() - begun) / 1000))} s`,
        `   ${verified} bytes verified, in devices and ${snapshotsVerified} snapshots; ${syncs} syncs`,
        `   ${Object.entries(operations)
          .map(([operation, count]) => `${operation} ${count}`)
          .join(', ')}`,
      ].join('\n'),
    );
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  console.error(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
}
// A writer that hangs on a mount must not keep this process; what was printed, and a pipe has not taken yet,
// may.
process.stdout.write('', () => process.exit());
