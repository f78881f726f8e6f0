/**
 * A process that works on a pool until it is killed: `pool-child.ts PATH ROUND`. Writes a pattern of numbered
 * sectors, flushes, and prints the number of each pass once it is durable.
 */
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { openPool } from '../../src/pool/pool.js';
import { openPoolStore } from '../../src/store/pool-store.js';
import { PLACES, placeOf, sectorOf } from './numbered-sectors.js';
import { SMALL_TUNING } from './numbered-batches.js';

const [path, first] = process.argv.slice(2);
process.stdin.resume();
process.stdin.once('end', () => process.exit());
const pool = await openPool(await openPoolStore(path!, { tuning: SMALL_TUNING }), { commitInterval: 5 });
const base = await pool.activate(BASE_NAME);
for (let pass = Number(first); ; pass++) {
  for (let index = 0; index < PLACES; index++) await base.write(placeOf(index), sectorOf(pass, index));
  await base.flush();
  process.stdout.write(`${pass}\n`);
  if (pass % 3 !== 0) continue;
  const name = `s${pass}` as DeviceName;
  await pool.createSnapshot({ name, origin: BASE_NAME, kind: 'snapshot' });
  const old = pool.devices().filter(({ kind }) => kind === 'snapshot');
  if (old.length > 2) await pool.remove(old[0]!.name);
}
