import assert from 'node:assert/strict';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceRecord } from '../../src/format/device-record.js';
import type { DeviceName } from '../../src/format/ids.js';
import { PoolImages } from '../../src/pool/pool-images.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import { IMAGE, imageBlock, MemorySource } from '../support/memory-source.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState } from '../support/small-pool.js';

const BLOCKS = [0, 1, 2, 5, 9];
const REQUEST = { reference: 's3://bucket/place:tag', keyFile: '', note: 'note', settings: {} };

describe('images in stores that a pool has its bytes of', () => {
  let source: MemorySource;
  let state: PoolState;
  let images: PoolImages;

  beforeEach(async () => {
    source = new MemorySource(BLOCKS);
    state = await makePoolState(new MemoryStore(), { open: { remote: source } });
    images = new PoolImages(state, source);
  });

  afterEach(async () => {
    await images.stop();
    await closeState(state);
  });

  function make(name: string): DeviceRecord {
    const size = 12 * BLOCK;
    return state.metadata.createThin({
      name: name as DeviceName,
      kind: 'snapshot',
      size,
      createdAt: 0,
      filesystem: 'xfs',
    });
  }

  it('cannot be fetched without a source', async () => {
    const alone = new PoolImages(state, undefined);
    await assert.rejects(alone.find(REQUEST), { code: 'unsupported' });
    await assert.rejects(alone.attach(make('pulled'), IMAGE), { code: 'unsupported' });
    assert.deepEqual(alone.list(), []);
    await alone.forget('a note');
  });

  it('are let go of once where no device is made of what was found', async () => {
    await images.find(REQUEST);
    await images.forget('note');
    await images.forget('note');
    assert.deepEqual(source.released, ['note']);
  });

  it('go to devices that are empty and not in use', async () => {
    const device = make('pulled');
    activate(state, device.name);
    await assert.rejects(images.attach(device, IMAGE), { code: 'busy' });
    await activate(state, BASE_NAME).write(0, new Uint8Array(BLOCK).fill(1));
    await state.commit();
    await assert.rejects(images.attach(state.metadata.devices.find(BASE_NAME)!, IMAGE), { code: 'busy' });
  });

  it('are listed with the bytes that are still there, until all of them are here', async () => {
    const device = make('pulled');
    assert.deepEqual(await images.attach(device, IMAGE), { chunks: BLOCKS.length });
    assert.equal(images.list()[0]?.remote, BLOCKS.length * BLOCK);
    await images.hydrate(device);
    assert.deepEqual(images.list(), []);
    const bytes = Buffer.alloc(BLOCK);
    for (const block of BLOCKS) {
      await activate(state, device.name).read(block * BLOCK, bytes);
      assert.ok(bytes.equals(imageBlock(block)), `block ${block}`);
    }
  });

  it('bring what a recorded start reads, and nothing else, before anybody asks', async () => {
    source.start = [9, 2];
    await images.attach(make('pulled'), IMAGE);
    while (source.asked.length < 1) await new Promise((resolve) => setImmediate(resolve));
    await state.commit();
    assert.deepEqual(
      source.asked.flatMap(({ blocks }) => blocks),
      [9, 2],
    );
    assert.ok(source.asked.every(({ isUrgent }) => !isUrgent));
  });
});
