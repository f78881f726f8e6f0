import { setTimeout as sleep } from 'node:timers/promises';
import { whileWorking } from '../../src/commands/progress.js';

/** Work of so many milliseconds, for a terminal to show. */
const [ms = '', json = ''] = process.argv.slice(2);
await whileWorking({ json: json === '--json' }, 'checking', async (say) => {
  say('half of it');
  await sleep(Number(ms));
});
