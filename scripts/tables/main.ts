/**
 * Writes what documents and scripts have of the table of host tools (src/config/host-tools.ts): npm run
 * tables.
 */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { RENEWALS } from './tables.js';

const TOP = path.resolve(import.meta.dirname, '../..');

for (const [name, renew] of Object.entries(RENEWALS)) {
  const file = path.join(TOP, name);
  const before = await readFile(file, 'utf8').catch(() => '');
  const after = await renew(before);
  if (after === before) continue;
  await writeFile(file, after);
  process.stdout.write(`${name}\n`);
}
