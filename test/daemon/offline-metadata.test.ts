import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, readdir, readlink, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { openMetadataOffline, restoreOffline } from '../../src/daemon/offline-metadata.js';
import { acceptOlder, repairOffline } from '../../src/daemon/offline-repair.js';
import { rootLayout, type RootLayout } from '../../src/config/root-layout.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import { deviceId, type DeviceName } from '../../src/format/ids.js';
import { deviceKey, logKey, superblockKey } from '../../src/format/keys.js';
import { seal } from '../../src/format/seal.js';
import { MARK_FILE } from '../../src/store/commit-mark.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { openPoolStore } from '../../src/store/pool-store.js';
import { makeDirectPool, openDirectPool } from '../support/direct-pool.js';
import { useScratch } from '../support/mounts.js';
import { textOf } from '../support/random-pool.js';
import { BLOCK } from '../support/small-pool.js';

const COPY = 'copy' as DeviceName;

describe('metadata tools on a direct pool', function () {
  const scratch = useScratch();

  async function furnished(name: string): Promise<{ layout: RootLayout; data: string; dump: string }> {
    const [root, data] = [scratch.current.at(name), scratch.current.at(`${name}.data`)];
    await makeDirectPool(root, data);
    const pool = await openDirectPool(root);
    await (await pool.activate(BASE_NAME)).write(0, new Uint8Array(3 * BLOCK).fill(1));
    await pool.createSnapshot({ name: COPY, origin: BASE_NAME, kind: 'snapshot' });
    await (await pool.activate(COPY)).write(BLOCK, new Uint8Array(BLOCK).fill(2));
    await pool.close();
    const layout = rootLayout(root);
    const metadata = await openMetadataOffline(layout);
    const dump = await textOf(metadata.text('metadata.dump', { format: 'xml' }));
    await metadata.close();
    return { layout, data, dump };
  }

  async function assertWhole({ root }: RootLayout): Promise<void> {
    const pool = await openDirectPool(root);
    for (const [name, expected] of [
      [BASE_NAME, [1, 1, 1, 0]],
      [COPY, [1, 2, 1, 0]],
    ] as const) {
      const into = new Uint8Array(4 * BLOCK);
      await (await pool.activate(name)).read(0, into);
      assert.deepEqual([...into.filter((_, at) => at % BLOCK === 0)], expected, name);
    }
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  }

  async function loseSuperblock({ pool }: RootLayout): Promise<void> {
    const store = await openLevelStore(pool);
    await store.batch([{ type: 'del', key: superblockKey }], { sync: true });
    await store.close();
  }

  it('restore a dump around the data', async () => {
    const { layout, dump } = await furnished('restored');
    await assert.rejects(restoreOffline(layout, piecesOf(dump), {}), { code: 'exists' });
    await loseSuperblock(layout);
    assert.deepEqual(await restoreOffline(layout, piecesOf(dump), {}), {
      devices: 2,
      mappedChunks: 4,
      strayChunks: 0,
    });
    await assertWhole(layout);
  });

  it('check and repair nothing that a newer thinfuse wrote', async () => {
    const { layout } = await furnished('newer');
    const into = scratch.current.at('newer-repaired');
    const put = async (key: Uint8Array, value: Uint8Array): Promise<void> => {
      const store = await openLevelStore(layout.pool);
      await store.batch([{ type: 'put', key, value }], { sync: true });
      await store.close();
    };
    const checked = async (at: RootLayout): Promise<void> => {
      const metadata = await openMetadataOffline(at);
      await metadata.check({}).finally(() => metadata.close());
    };
    const refused = { code: 'wrong-version' };
    await put(logKey, seal('log-state', 0, new Uint8Array(64), 99));
    await assert.rejects(checked(layout), refused);
    await assert.rejects(repairOffline(layout, into), refused);
    await put(deviceKey(deviceId(2)), seal('device', 2, new Uint8Array(64), 99));
    await assert.rejects(checked(layout), refused);
    await assert.rejects(repairOffline(layout, into), refused);
    assert.equal(existsSync(into), false);
  });

  it('refuse a dump that is of another kind of pool, or larger than the data', async () => {
    const { layout, dump } = await furnished('refusing');
    const attempt = (text: string): Promise<unknown> =>
      restoreOffline(layout, piecesOf(text), { replace: true });
    await assert.rejects(attempt(dump.replace('"kind":"direct"', '"kind":"leveldb"')), {
      code: 'unsupported',
    });
    await assert.rejects(attempt(dump.replace('nr_data_blocks="1024"', 'nr_data_blocks="1025"')), {
      code: 'invalid-argument',
      message: /1025 blocks.*1024 of/,
    });
    await assert.rejects(attempt(dump.replace('data_block="3"', 'data_block="1024"')), {
      code: 'invalid-argument',
      message: /beyond the end/,
    });
    await assertWhole(layout);
  });

  it('repair into a root beside, around the same data', async () => {
    const { layout, data } = await furnished('repaired');
    await loseSuperblock(layout);
    const into = scratch.current.at('mended');
    const report = await repairOffline(layout, into);
    assert.deepEqual([report.devices, report.chunks, report.data], [2, 4, data]);
    assert.equal(await readlink(path.join(into, 'devicemapper', 'data')), data);
    await assertWhole(rootLayout(into));
  });

  it('check whether the data is there, whole and of this pool', async () => {
    const { layout, data } = await furnished('checked');
    const problems = async (): Promise<readonly string[]> => {
      const metadata = await openMetadataOffline(layout);
      const { ok, findings } = await metadata.check({ depth: 'all', clearNeedsCheck: true });
      await metadata.close();
      assert.equal(ok, findings.length === 0);
      return findings.map(({ path: where, problem }) => `${where}: ${problem}`);
    };
    assert.deepEqual(await problems(), []);
    await rename(data, `${data}.away`);
    assert.match((await problems()).join(), /^data: .* is not there; /);
    await writeFile(data, '');
    assert.match((await problems()).join(), /^data: .* it has 0 bytes/);
    await rename(`${data}.away`, data);
    assert.deepEqual(await problems(), []);
  });

  it('refuse a pool that lacks acknowledged commits, and take it when told to', async () => {
    const { layout } = await furnished('older');
    const older = scratch.current.at('older.copy');
    await cp(layout.pool, older, { recursive: true });
    const metadata = await openPoolStore(layout.pool);
    for (let n = 0; n < 3; n++) await metadata.batch([], { sync: true });
    await metadata.close();
    for (const name of await readdir(layout.pool))
      if (name !== MARK_FILE && name !== 'data') await rm(path.join(layout.pool, name));
    for (const name of await readdir(older))
      if (name !== MARK_FILE && name !== 'data')
        await cp(path.join(older, name), path.join(layout.pool, name));
    await assert.rejects(openMetadataOffline(layout), {
      code: 'damaged',
      message: /lacks the last 3 commits/,
    });
    const repaired = await repairOffline(layout, scratch.current.at('older.new'));
    assert.match(repaired.lost[0]?.problem ?? '', /lacks the last 3 commits/);
    await rm(scratch.current.at('older.new'), { recursive: true });
    const report = await acceptOlder(layout);
    assert.equal(report.older!.acknowledged - report.older!.stored, 3);
    assert.equal(report.direct, true);
    await assertWhole(layout);
    assert.equal((await acceptOlder(layout)).older, undefined);
    await (await openMetadataOffline(layout)).close();
  });

  it('say what data is missing, and what is not a pool’s', async () => {
    const { layout, data, dump } = await furnished('bereft');
    await rm(data);
    for (const attempt of [
      () => restoreOffline(layout, piecesOf(dump), { replace: true }),
      () => repairOffline(layout, scratch.current.at('never')),
    ])
      await assert.rejects(attempt(), { code: 'not-found', message: new RegExp(data) });
  });
});

async function* piecesOf(text: string): AsyncGenerator<string> {
  yield text;
}
