import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { BASE_NAME } from '../../src/format/device-name.js';
import { deviceId, nodeId, type DeviceName } from '../../src/format/ids.js';
import { chunkMapKey, describeKey, deviceKey, nodeKey, superblockKey } from '../../src/format/keys.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { makeDirectPool, makeDirectPoolOfBefore, openDirectPool } from '../support/direct-pool.js';
import { useScratch } from '../support/mounts.js';
import { BLOCK } from '../support/small-pool.js';

const WELL = 'well' as DeviceName;
const HURT = 'hurt' as DeviceName;
const DATA_BYTES = 64 * 2 ** 20;

describe('a direct pool that is damaged', function () {
  const scratch = useScratch();
  let made = 0;

  /** Devices of two blocks each that share nothing. */
  async function furnished(make = makeDirectPool): Promise<{ root: string; data: string; node: number }> {
    const root = scratch.current.at(`root${made++}`);
    const data = `${root}.data`;
    await make(root, data);
    const pool = await openDirectPool(root);
    for (const [fill, name] of [WELL, HURT].entries()) {
      await pool.createSnapshot({ name, origin: BASE_NAME, kind: 'snapshot' });
      await (await pool.activate(name)).write(0, new Uint8Array(2 * BLOCK).fill(fill + 1));
    }
    await pool.settle();
    const metadata = await pool.tools.freeze();
    const node = (await metadata.view()).devices.find(({ name }) => name === HURT)!.root;
    await metadata.close();
    await pool.close();
    return { root, data, node };
  }

  async function spoil(
    root: string,
    key: Uint8Array,
    change: (value: Uint8Array) => Uint8Array | undefined,
  ): Promise<void> {
    const store = await openLevelStore(path.join(root, 'devicemapper'));
    const value = change(store.getSync(key)!.slice());
    await store.batch([value === undefined ? { type: 'del', key } : { type: 'put', key, value }], {
      sync: true,
    });
    await store.close();
  }

  const flipped = (value: Uint8Array): Uint8Array => {
    value[30]! ^= 8;
    return value;
  };
  const cut = (value: Uint8Array): Uint8Array => value.slice(0, 20);
  const lost = (): undefined => undefined;

  for (const [how, change] of [
    ['flipped', flipped],
    ['cut', cut],
    ['lost', lost],
  ] as const)
    it(`serves what is well around a node that is ${how}, and nothing of it`, async () => {
      const { root, node } = await furnished();
      await spoil(root, nodeKey(nodeId(node)), change);
      const pool = await openDirectPool(root);
      const into = new Uint8Array(BLOCK).fill(0xee);
      const hurt = await pool.activate(HURT);
      await assert.rejects(async () => hurt.read(0, into), {
        code: 'damaged',
        message: new RegExp(`node ${node}\\b`),
      });
      assert.ok(into.every((byte) => byte === 0xee));
      await (await pool.activate(WELL)).read(BLOCK, into);
      assert.ok(into.every((byte) => byte === 1));
      assert.deepEqual([pool.info().mode, pool.info().needsCheck], ['ro', true]);
      await pool.close();
    });

  for (const [what, key] of [
    ['record', deviceKey(deviceId(3))],
    ['page of the chunk map', chunkMapKey(0)],
  ] as const)
    for (const [how, change] of [
      ['flipped', flipped],
      ['lost', lost],
    ] as const)
      it(`opens read-only around a ${what} that is ${how}, and leaves all data as it is`, async () => {
        const { root } = await furnished();
        await spoil(root, key, change);
        const pool = await openDirectPool(root);
        assert.deepEqual([pool.info().mode, pool.info().needsCheck], ['ro', true]);
        const into = new Uint8Array(2 * BLOCK);
        const well = await pool.activate(WELL);
        await well.read(0, into);
        assert.ok(into.every((byte) => byte === 1));
        assert.throws(() => well.write(0, into), { code: 'read-only' });
        const report = (await pool.check()).findings.map((finding) => finding.path);
        assert.ok(
          report.some((at) => at === describeKey(key) || at === 'superblock' || at.startsWith('chunk ')),
        );
        await pool.close();
      });

  it('opens around no other data: too short, of another pool, of none, or of a newer thinfuse', async () => {
    const { root, data } = await furnished(makeDirectPoolOfBefore);
    const other = await furnished(makeDirectPoolOfBefore);
    const file = await open(data, 'r+');
    const label = new Uint8Array(4096);
    await file.read(label, 0, 4096, DATA_BYTES);
    const attempt = async (bytes: Uint8Array | undefined, code: string, message: RegExp): Promise<void> => {
      await file.truncate(DATA_BYTES);
      if (bytes !== undefined) await file.write(bytes, 0, bytes.length, DATA_BYTES);
      await assert.rejects(openDirectPool(root), { code, message });
    };
    await attempt(undefined, 'damaged', /has 67108864 bytes, and the pool needs 67112960/);
    await attempt(new Uint8Array(4096), 'damaged', /does not carry a pool's label/);
    const foreign = await open(other.data, 'r');
    const theirs = new Uint8Array(4096);
    await foreign.read(theirs, 0, 4096, DATA_BYTES);
    await foreign.close();
    await attempt(theirs, 'damaged', /belongs to the pool .*, and this one is /);
    await attempt(newer(label, 9), 'wrong-version', /format 3.*newer thinfuse/);
    await attempt(flipped(label.slice()), 'damaged', /does not carry a pool's label/);
    await file.write(label, 0, label.length, DATA_BYTES);
    await file.close();
    const pool = await openDirectPool(root);
    assert.equal(pool.info().mode, 'rw');
    await pool.close();
  });

  it('takes the superblock of no other pool', async () => {
    const [{ root }, other] = [await furnished(), await furnished()];
    const store = await openLevelStore(path.join(other.root, 'devicemapper'));
    const theirs = store.getSync(superblockKey)!.slice();
    await store.close();
    await spoil(root, superblockKey, () => theirs);
    await assert.rejects(openDirectPool(root), { code: 'damaged', message: /belongs to the pool/ });
  });
});

/** The same label in the version of the format that comes after all that are known. */
function newer(label: Uint8Array, kind: number): Uint8Array {
  const bytes = label.slice();
  const view = new DataView(bytes.buffer);
  view.setUint16(6, 3, true);
  view.setUint32(0, crc32(bytes.subarray(4), Math.imul(kind, 0x9e3779b1) >>> 0), true);
  return bytes;
}
