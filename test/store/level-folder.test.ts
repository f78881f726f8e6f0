import assert from 'node:assert/strict';
import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { classifyFolder, logFileName, makeFolder, tableNames } from '../../src/store/level-folder.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { useScratch } from '../support/mounts.js';

describe('a folder for LevelDB', () => {
  const scratch = useScratch();
  let folder: string;

  beforeEach(() => {
    folder = scratch.current.at('folder');
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function holding(...names: readonly string[]): Promise<string> {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
    for (const name of names) await writeFile(path.join(folder, name), '');
    return classifyFolder(folder);
  }

  it('is told by what is in it', async () => {
    assert.equal(await classifyFolder(folder), 'absent');
    assert.equal(await holding(), 'empty');
    assert.equal(await holding('lost+found'), 'empty');
    assert.equal(await holding('LOCK', 'LOG', 'MANIFEST-000001'), 'unfinished');
    assert.equal(await holding('CURRENT', 'MANIFEST-000005', '000004.log', 'data'), 'store');
    assert.equal(await holding('MANIFEST-000005', '000004.log'), 'headless', 'LevelDB would delete the log');
    assert.equal(await holding('000007.sst'), 'headless');
    assert.equal(await holding('commit-mark', 'LOCK'), 'headless', 'a pool was here');
    assert.equal(await holding('LOCK', 'thesis.txt'), 'foreign');
    assert.equal(await holding('reserve'), 'foreign');
    await rm(folder, { recursive: true });
    await writeFile(folder, '');
    await assert.rejects(classifyFolder(folder), { code: 'invalid-argument' });
  });

  it('has the names that LevelDB gives', async () => {
    const store = await openLevelStore(folder, { createIfMissing: true });
    await store.close();
    assert.equal(await classifyFolder(folder), 'store');
    const [log] = (await readdir(folder)).filter((name) => name.endsWith('.log'));
    assert.equal(log, logFileName(parseInt(log!, 10)));
    assert.deepEqual(tableNames(12), ['000012.ldb', '000012.sst']);
  });

  it('is made with those above it, for its owner alone, and the way back removes just those', async () => {
    const deep = path.join(folder, 'a', 'b');
    const undo = await makeFolder(deep);
    assert.equal((await stat(deep)).mode & 0o777, 0o700);
    await writeFile(path.join(deep, 'LOCK'), '');
    await undo();
    assert.equal(await classifyFolder(folder), 'absent');
  });

  it("that was there keeps what is not LevelDB's", async () => {
    await mkdir(folder);
    const undo = await makeFolder(folder);
    for (const name of ['LOCK', '000003.log', 'lost+found']) await writeFile(path.join(folder, name), '');
    await undo();
    assert.deepEqual(await readdir(folder), ['lost+found']);
  });

  it('that cannot be made leaves none of those above it', async () => {
    await mkdir(folder);
    const impossible = path.join(folder, 'a', 'n'.repeat(300));
    await assert.rejects(makeFolder(impossible));
    assert.deepEqual(await readdir(folder), []);
  });
});
