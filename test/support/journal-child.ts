/**
 * A process that writes to a journal until it is killed: `journal-child.ts FOLDER`. Prints the sequence of each record once it is written;
 * commits every hundred.
 */
import { Journal } from '../../src/store/journal.js';

const [folder] = process.argv.slice(2);
process.stdin.resume();
process.stdin.once('end', () => process.exit());
const journal = await Journal.begin(folder!, 65536);
const payload = new Uint8Array(65536).fill(7);
for (let sequence = 1; ; sequence++) {
  if (sequence % 3 === 0) journal.writer.map(1, sequence, sequence, 1);
  else journal.writer.data(sequence, 0, payload, 0, (sequence * 7919) % 65536);
  process.stdout.write(`${sequence}\n`);
  if (sequence % 100 === 0) {
    journal.retire(journal.advance());
    // For what was printed to leave the process, which a pipe that is full holds up.
    await new Promise((resolve) => setImmediate(resolve));
  }
}
