import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { ThinError } from '../../src/errors/thin-error.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import { chunkId, deviceId, nodeId, type DeviceId, type DeviceName } from '../../src/format/ids.js';
import {
  chunkKey,
  chunkMapKey,
  describeKey,
  deviceKey,
  nodeKey,
  nodeMapKey,
  optionsKey,
  superblockKey,
} from '../../src/format/keys.js';
import { unpackDeviceRecord } from '../../src/format/device-record.js';
import { seal, SEAL_BYTES, unseal } from '../../src/format/seal.js';
import { checkPool } from '../../src/metadata/check.js';
import { openPool } from '../../src/pool/pool.js';
import { CrashStore } from '../support/crash-store.js';
import { keyText } from '../support/memory-store.js';
import { BLOCK, makeSmallPool } from '../support/small-pool.js';

const HURT = 'hurt' as DeviceName;
const WELL = 'well' as DeviceName;

interface Prepared {
  readonly store: CrashStore;
  /** Of the device `hurt`, which shares nothing with the others. */
  readonly node: number;
  readonly chunks: readonly number[];
}

/** Three devices without a block in common: each holds its own number in its first two blocks. */
async function prepare(): Promise<Prepared> {
  const store = new CrashStore();
  const pool = await makeSmallPool(store);
  const chunks: number[] = [];
  for (const name of [HURT, WELL]) await pool.createSnapshot({ name, origin: BASE_NAME, kind: 'snapshot' });
  for (const [index, name] of [BASE_NAME, HURT, WELL].entries()) {
    const before = new Set(chunkNumbers(store));
    const file = await pool.activate(name);
    await file.write(0, new Uint8Array(2 * BLOCK).fill(index + 1));
    await file.flush();
    if (name === HURT) chunks.push(...chunkNumbers(store).filter((chunk) => !before.has(chunk)));
  }
  await pool.close();
  return { store: new CrashStore(store.contents), node: rootOf(store, deviceId(2)), chunks };
}

function numbers(store: CrashStore, tag: string): number[] {
  return store
    .dump()
    .filter(([key]) => String.fromCharCode(key[0]!) === tag && key.length === 5)
    .map(([key]) => new DataView(key.buffer, key.byteOffset).getUint32(1));
}

const chunkNumbers = (store: CrashStore): number[] => numbers(store, 'c');

function rootOf(store: CrashStore, device: DeviceId): number {
  const key = deviceKey(device);
  const value = store.contents.get(keyText(key))!;
  return unpackDeviceRecord(device, unseal('device', device, value, 'device'), 'device').root;
}

const isDamage = (key: Uint8Array) => (error: unknown) => {
  assert.ok(error instanceof ThinError, String(error));
  assert.equal(error.code, 'damaged', error.message);
  assert.ok(error.message.includes(describeKey(key)), error.message);
  return true;
};

/** Every way to spoil one value that is told from the value itself. */
const SPOILT: readonly (readonly [string, (store: CrashStore, key: Uint8Array) => void])[] = [
  ...[0, 37, 90, 8 * SEAL_BYTES + 3].map(
    (bit) => [`bit ${bit} flipped`, (store: CrashStore, key: Uint8Array) => store.flipBit(key, bit)] as const,
  ),
  ['cut to nothing', (store, key) => store.truncate(key, 0)],
  ['cut short', (store, key) => store.truncate(key, SEAL_BYTES + 1)],
  ['another kind', (store, key) => store.swap(key, optionsKey)],
];

async function found(store: CrashStore): Promise<string> {
  const { findings } = await checkPool(store);
  return findings.map(({ path, problem }) => `${path}: ${problem}`).join('\n');
}

describe('a pool whose store is damaged', () => {
  it('opens undamaged, to begin with', async () => {
    const { store, chunks } = await prepare();
    assert.equal(await found(store), '');
    assert.equal(chunks.length, 2);
  });

  for (const [how, spoil] of [
    ...SPOILT,
    ['lost', (store: CrashStore, key: Uint8Array) => store.drop(key)] as const,
  ])
    for (const what of ['node', 'chunk'] as const)
      it(`says so when a ${what} is ${how}, and serves the rest`, async () => {
        const { store, node, chunks } = await prepare();
        const key = what === 'node' ? nodeKey(nodeId(node)) : chunkKey(chunkId(chunks[0]!));
        spoil(store, key);
        if (how === 'another kind') store.truncate(optionsKey, 0);
        const report = await found(store);
        // The contents of chunks are read when they are asked for.
        if (what === 'node' || how === 'lost') assert.ok(report.includes(describeKey(key)), report);
        if (how === 'another kind') return;
        const pool = await openPool(store, { commitInterval: 0 });
        const into = new Uint8Array(BLOCK).fill(0xee);
        const hurt = await pool.activate(HURT);
        await assert.rejects(async () => hurt.read(0, into), isDamage(key));
        await assert.rejects(async () => hurt.read(4096, into.subarray(0, 512)), isDamage(key));
        assert.ok(
          into.every((byte) => byte === 0xee),
          'nothing of it is served',
        );
        for (const [name, fill] of [
          [BASE_NAME, 1],
          [WELL, 3],
        ] as const) {
          await (await pool.activate(name)).read(BLOCK, into);
          assert.ok(into.every((byte) => byte === fill));
        }
        await pool.close().catch(() => undefined);
      });

  it('serves no chunk for another', async () => {
    const { store, chunks } = await prepare();
    const [a, b] = chunks.map((chunk) => chunkKey(chunkId(chunk)));
    store.swap(a!, b!);
    const pool = await openPool(store, { commitInterval: 0 });
    const hurt = await pool.activate(HURT);
    await assert.rejects(async () => hurt.read(0, new Uint8Array(512)), isDamage(a!));
    await assert.rejects(async () => hurt.read(BLOCK, new Uint8Array(512)), isDamage(b!));
    await pool.close();
  });

  for (const [how, spoil] of [
    ...SPOILT.filter(([name]) => name !== 'another kind'),
    ['lost', (store: CrashStore, key: Uint8Array) => store.drop(key)] as const,
  ])
    it(`does not open when its superblock is ${how}`, async () => {
      const { store } = await prepare();
      spoil(store, superblockKey);
      await assert.rejects(openPool(store, { commitInterval: 0 }), isDamage(superblockKey));
      assert.ok((await found(store)).includes('superblock'));
    });

  for (const [what, key, lost] of [
    ['options', optionsKey, undefined],
    ['device record', deviceKey(deviceId(2)), HURT],
    ['sheet of the chunk map', chunkMapKey(0), undefined],
    ['sheet of the node map', nodeMapKey(0), undefined],
  ] as const)
    for (const [how, spoil] of [
      ...SPOILT.filter(([name]) => name !== 'another kind'),
      ['lost', (store: CrashStore, key: Uint8Array) => store.drop(key)] as const,
    ])
      it(`opens read-only around its ${what} when that is ${how}, and remembers`, async () => {
        const { store } = await prepare();
        spoil(store, key);
        // What is lost is told by what the superblock counts.
        const sign = how === 'lost' && what !== 'options' ? 'superblock' : describeKey(key);
        const told = how === 'lost' && what.startsWith('sheet') ? 'the space map calls it free' : sign;
        assert.ok((await found(store)).includes(told));
        for (const attempt of ['first', 'second']) {
          const reasons: string[] = [];
          const pool = await openPool(attempt === 'first' ? store : new CrashStore(store.contents), {
            commitInterval: 0,
            events: { onModeChanged: (_mode, reason) => reasons.push(reason) },
          });
          assert.ok(reasons[0]?.includes(sign), reasons.join('; '));
          assert.deepEqual([pool.info().mode, pool.info().needsCheck], ['ro', true]);
          assert.equal(pool.device(HURT) === undefined, lost === HURT);
          for (const [name, fill] of [
            [BASE_NAME, 1],
            [WELL, 3],
          ] as const) {
            const [file, into] = [await pool.activate(name), new Uint8Array(2 * BLOCK)];
            await file.read(0, into);
            assert.ok(into.every((byte) => byte === fill));
            assert.throws(() => file.write(0, into), { code: 'read-only' });
            assert.throws(() => file.write(5 * BLOCK, into), { code: 'read-only' });
          }
          await assert.rejects(pool.remove(WELL), { code: 'read-only' });
          assert.notDeepEqual((await pool.check()).findings, []);
          assert.equal(pool.info().mode, 'ro', 'a check that finds something lets nothing through');
          await pool.close();
        }
        assert.ok((await found(new CrashStore(store.contents))).includes(told), 'nothing was papered over');
      });

  it('finds what is lost besides, by what it counted', async () => {
    for (const [key, sign] of [
      [chunkMapKey(0), 'the space map calls it free'],
      [nodeMapKey(0), 'the space map calls it free'],
      [deviceKey(deviceId(2)), 'nothing refers to it'],
    ] as const) {
      const { store } = await prepare();
      store.drop(key);
      assert.ok((await found(store)).includes(sign));
    }
  });

  it('takes no superblock of another pool, or of another time', async () => {
    const { store } = await prepare();
    const superblockOf = (from: CrashStore): Uint8Array => from.contents.get(keyText(superblockKey))!;
    const put = async (into: CrashStore, value: Uint8Array): Promise<void> =>
      into.batch([{ type: 'put', key: superblockKey, value }], { sync: true });
    const isReadOnly = async (mixed: CrashStore): Promise<void> => {
      const pool = await openPool(mixed, { commitInterval: 0 });
      assert.equal(pool.info().mode, 'ro');
      await pool.close();
    };
    const mixed = new CrashStore(store.contents);
    await put(mixed, superblockOf((await prepare()).store));
    assert.match(await found(mixed), /^superblock: it is of the pool .*, and the options beside it are of /);
    await isReadOnly(mixed);
    const later = new CrashStore(store.contents);
    const again = await openPool(later, { commitInterval: 0 });
    await again.createSnapshot({ name: 'more' as DeviceName, origin: WELL, kind: 'snapshot' });
    await again.close();
    const stale = new CrashStore(later.contents);
    await put(stale, superblockOf(store));
    assert.match(await found(stale), /superblock: it counts 3 devices where 4 are/);
    await isReadOnly(stale);
  });

  it('refuses a newer format by its version, and a store that holds nothing as no pool', async () => {
    const { store } = await prepare();
    const value = seal('superblock', 0, store.contents.get(keyText(superblockKey))!.slice(SEAL_BYTES));
    const view = new DataView(value.buffer);
    view.setUint16(6, view.getUint16(6, true) + 9, true);
    view.setUint32(0, crc32(value.subarray(4), Math.imul(1, 0x9e3779b1) >>> 0), true);
    await store.batch([{ type: 'put', key: superblockKey, value }], { sync: true });
    await assert.rejects(openPool(store), { code: 'wrong-version', message: /superblock.*newer thinfuse/ });
    await assert.rejects(openPool(new CrashStore()), { code: 'no-pool' });
  });
});
