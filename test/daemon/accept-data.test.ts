import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { rootLayout, type RootLayout } from '../../src/config/root-layout.js';
import { acceptData } from '../../src/daemon/accept-data.js';
import { repairOffline } from '../../src/daemon/offline-repair.js';
import { FIRST_LABEL_AT, LABEL_BYTES, labelOffset } from '../../src/format/data-label.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import { ChildProcessExec } from '../../src/host/exec.js';
import { makeDirectPool, makeDirectPoolOfBefore, openDirectPool } from '../support/direct-pool.js';
import { useScratch } from '../support/mounts.js';
import { BLOCK } from '../support/small-pool.js';

const SIZE = 64 * BLOCK;

describe('data without a label', function () {
  const scratch = useScratch();
  const exec = new ChildProcessExec();

  /** What `mkfs` makes of an image, written to the base device. */
  async function furnished(
    name: string,
    make: (root: string, data: string) => Promise<void>,
    content: Uint8Array,
  ): Promise<{ layout: RootLayout; data: string }> {
    const [root, data] = [scratch.current.at(name), scratch.current.at(`${name}.data`)];
    await make(root, data);
    const pool = await openDirectPool(root);
    const file = await pool.activate(BASE_NAME);
    // Not from the first chunk on, which a chunk that was never labelled would be as well.
    await file.write(8 * BLOCK, new Uint8Array(BLOCK).fill(7));
    for (let at = 0; at < content.length; at += BLOCK) await file.write(at, content.subarray(at, at + BLOCK));
    await pool.close();
    return { layout: rootLayout(root), data };
  }

  async function image(): Promise<Uint8Array> {
    const file = scratch.current.at('image');
    await writeFile(file, '');
    await truncate(file, SIZE);
    await promisify(execFile)('mkfs.ext4', ['-q', '-F', file]);
    return (await readFile(file)).subarray(0, 8 * BLOCK);
  }

  async function loseLabels(data: string): Promise<void> {
    const handle = await open(data, 'r+');
    const { size } = await handle.stat();
    for (const at of [FIRST_LABEL_AT, labelOffset(size)])
      await handle.write(new Uint8Array(LABEL_BYTES), 0, LABEL_BYTES, at);
    await handle.close();
  }

  async function assertHas(root: string, content: Uint8Array): Promise<void> {
    const pool = await openDirectPool(root);
    const into = new Uint8Array(content.length);
    await (await pool.activate(BASE_NAME)).read(0, into);
    assert.ok(Buffer.from(into).equals(content));
    assert.deepEqual((await pool.check()).findings, []);
    await pool.close();
  }

  for (const [kind, make] of [
    ['margins', makeDirectPool],
    ['chunks up to its ends', makeDirectPoolOfBefore],
  ] as const)
    it(`with ${kind} is known by a filesystem of the pool, and gets its labels`, async () => {
      const content = await image();
      const { layout, data } = await furnished(`known ${kind}`, make, content);
      await loseLabels(data);
      await assert.rejects(openDirectPool(layout.root), { code: 'damaged', message: /repair --accept-data/ });
      await assert.rejects(repairOffline(layout, scratch.current.at('never')), {
        code: 'damaged',
        message: /repair --accept-data/,
      });
      const accepted = await acceptData(layout, { force: false, exec });
      assert.deepEqual(accepted, { path: data, found: BASE_NAME, written: true });
      await assertHas(layout.root, content);
      assert.equal((await acceptData(layout, { force: false, exec })).written, false);
      const into = scratch.current.at(`repaired ${kind}`);
      assert.deepEqual((await repairOffline(layout, into)).lost, []);
    });

  it('is refused where no filesystem of the pool is on it, unless it is forced', async () => {
    const content = new Uint8Array(2 * BLOCK).fill(3);
    const { layout, data } = await furnished('blank', makeDirectPool, content);
    await loseLabels(data);
    await assert.rejects(acceptData(layout, { force: false, exec }), {
      code: 'damaged',
      message: /no filesystem of a device is where the pool has it/,
    });
    const accepted = await acceptData(layout, { force: true, exec });
    assert.deepEqual([accepted.found, accepted.written], [undefined, true]);
    await assertHas(layout.root, content);
  });

  it('is refused where it is too short, or has the label of another pool', async () => {
    const { layout, data } = await furnished('short', makeDirectPool, await image());
    const other = await furnished('other', makeDirectPool, new Uint8Array(0));
    await loseLabels(data);
    const { length } = await readFile(data);
    await truncate(data, length - 2 * 2 ** 20);
    await assert.rejects(acceptData(layout, { force: true, exec }), {
      code: 'damaged',
      message: /truncate --size/,
    });
    await truncate(data, length);
    await writeFile(data, await readFile(other.data));
    await assert.rejects(acceptData(layout, { force: true, exec }), { message: /it belongs to the pool/ });
    await assertHas(other.layout.root, new Uint8Array(0));
  });
});
