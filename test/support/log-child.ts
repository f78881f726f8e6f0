/**
 * A process that writes to a log until it is killed: `log-child.ts FOLDER`. Prints the state that its store
 * would have, and the number of each record once it is written. It never commits.
 */
import { logKey } from '../../src/format/keys.js';
import { PoolLog } from '../../src/store/pool-log.js';
import { CrashStore } from './crash-store.js';

const [folder] = process.argv.slice(2);
process.stdin.resume();
process.stdin.once('end', () => process.exit());
const store = new CrashStore();
const log = await PoolLog.open(folder!, store, {
  uuid: 'pool',
  isDirect: false,
  ring: 256 * 2 ** 20,
  onNote: () => undefined,
});
await log.begin(store);
process.stdout.write(`state ${Buffer.from(store.getSync(logKey)!).toString('hex')}\n`);
const payload = new Uint8Array(65536).fill(7);
for (let number = 1; ; number++) {
  if (number % 3 === 0) log.writer.map(1, number, number, 1);
  else log.writer.data(number, 0, payload, 0, (number * 7919) % 65536);
  process.stdout.write(`${number}\n`);
  // For what was printed to leave the process, which a pipe that is full holds up.
  if (number % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
}
