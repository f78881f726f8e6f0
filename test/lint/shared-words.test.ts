import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';

const TOP = path.join(import.meta.dirname, '..', '..');
/** An access, its array, and the named place in the array, where it has a name. */
const ACCESS = /Atomics\.\w+\(\s*([^,]+?),\s*([A-Z][A-Z_]+\b)?/g;
/** The last name of what an array is reached by: `this.#memory.pages`, `memory[level]!`. */
const LAST_NAME = /#?(\w+)!?(?:\[[^\]]*\]!?)?$/;

describe('lint: the page of shared words', () => {
  it('names every word of shared memory that the source reads or writes', async () => {
    const page = await readFile(path.join(TOP, 'docs/shared-memory.md'), 'utf8');
    const names = new Set(page.match(/\w+/g));
    const missing: string[] = [];
    let accesses = 0;
    for (const file of await readdir(path.join(TOP, 'src'), { recursive: true })) {
      if (!file.endsWith('.ts')) continue;
      const text = await readFile(path.join(TOP, 'src', file), 'utf8');
      for (const [access, array, place] of text.matchAll(ACCESS)) {
        const word = place ?? LAST_NAME.exec(array!)?.[1];
        assert.ok(word !== undefined, `${file}: ${access}`);
        accesses++;
        if (!names.has(word)) missing.push(`${file}: ${word}`);
      }
    }
    assert.deepEqual([...new Set(missing)], []);
    assert.ok(accesses > 50, `${accesses} accesses were found`);
  });

  it('names every file that makes shared memory, or a set, ring or count of it', async () => {
    const page = await readFile(path.join(TOP, 'docs/shared-memory.md'), 'utf8');
    const missing: string[] = [];
    for (const file of await readdir(path.join(TOP, 'src'), { recursive: true })) {
      // Words of no more than one thread each: see NEVER.
      if (!file.endsWith('.ts') || file === 'commands/standard-stream.ts') continue;
      const text = await readFile(path.join(TOP, 'src', file), 'utf8');
      if (/SharedArrayBuffer\(|threadInts\(/.test(text) && !page.includes(file)) missing.push(file);
    }
    assert.deepEqual(missing, []);
  });
});
