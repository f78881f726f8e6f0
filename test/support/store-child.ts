/**
 * A process that holds a store, for tests of locks and of sudden death: `store-child.ts hold|write PATH`.
 * Prints one line a step: `open`, then, writing, the number of each batch once it is durable; or the code of
 * what went wrong. Ends when its standard input does.
 */
import { ThinError } from '../../src/errors/thin-error.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { numberedBatch, numberedLast, SMALL_TUNING } from './numbered-batches.js';

const [mode, path] = process.argv.slice(2);
process.stdin.resume();
process.stdin.once('end', () => process.exit());
try {
  const store = await openLevelStore(path!, { createIfMissing: true, tuning: SMALL_TUNING });
  process.stdout.write('open\n');
  if (mode === 'write')
    for (let n = numberedLast(store) + 1; ; n++) {
      await store.batch(numberedBatch(n), { sync: true });
      process.stdout.write(`${n}\n`);
    }
} catch (error) {
  process.stdout.write(`${error instanceof ThinError ? error.code : String(error)}\n`);
  process.exit(1);
}
