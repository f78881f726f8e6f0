// Lists the files of src/pool, src/store and src/metadata that no test of the same folder imports. Such a file needs a test
// of its own, unless it has types alone or its behaviour shows only through another file of the folder.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';

const TOP = path.resolve(import.meta.dirname, '..');
const IMPORT = /from '\.\.\/\.\.\/src\/([a-z-]+\/[a-z0-9-]+)\.js'/g;

for (const room of ['pool', 'store', 'metadata']) {
  const tests = path.join(TOP, 'test', room);
  const imported = new Set();
  for (const name of await readdir(tests))
    for (const [, file] of (await readFile(path.join(tests, name), 'utf8')).matchAll(IMPORT))
      imported.add(file);
  for (const name of (await readdir(path.join(TOP, 'src', room))).sort()) {
    const file = `${room}/${path.basename(name, '.ts')}`;
    if (!imported.has(file)) console.log(`src/${file}.ts`);
  }
}
