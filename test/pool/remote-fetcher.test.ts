import assert from 'node:assert/strict';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ChunkId, DeviceName } from '../../src/format/ids.js';
import { attachRemote } from '../../src/pool/attach-remote.js';
import type { ImagePieces } from '../../src/pool/remote-source.js';
import type { PoolState } from '../../src/pool/pool-state.js';
import { RemoteFetcher } from '../../src/pool/remote-fetcher.js';
import { AWAY, IMAGE, imageBlock, MemorySource } from '../support/memory-source.js';
import { MemoryStore } from '../support/memory-store.js';
import { activate, BLOCK, closeState, makePoolState, openPoolState } from '../support/small-pool.js';

const BLOCKS = Array.from({ length: 20 }, (_, block) => block);
const PULLED = 'pulled' as DeviceName;

describe('fetching the bytes of remote chunks', () => {
  let source: MemorySource;
  let state: PoolState;
  let fetcher: RemoteFetcher;
  let chunks: readonly ChunkId[];
  let problems: (string | undefined)[];

  beforeEach(async () => {
    source = new MemorySource(BLOCKS);
    problems = [];
    const events = { onRemote: (problem: string | undefined) => problems.push(problem) };
    state = await makePoolState(new MemoryStore(), {
      options: { originTimeout: 1 },
      open: { remote: source, events },
    });
    const { id } = state.metadata.createThin({
      name: PULLED,
      kind: 'snapshot',
      size: 20 * BLOCK,
      createdAt: 0,
      filesystem: 'xfs',
    });
    async function* all(): AsyncGenerator<ImagePieces> {
      yield await Promise.resolve({ changed: Uint32Array.from(BLOCKS), gone: new Uint32Array(0) });
    }
    await attachRemote(state, id, IMAGE, all());
    await state.commit();
    chunks = [...state.metadata.mappings(id, 0, Infinity)].map(({ chunk }) => chunk);
    fetcher = state.remote;
  });

  afterEach(() => closeState(state));

  async function assertContent(): Promise<void> {
    const bytes = Buffer.alloc(BLOCK);
    for (const block of BLOCKS) {
      await activate(state, PULLED).read(block * BLOCK, bytes);
      assert.ok(bytes.equals(imageBlock(block)), `block ${block}`);
    }
  }

  it('asks once for what many wait for, and brings its neighbours along', async () => {
    await Promise.all([3, 3, 3].map((at) => fetcher.fetch(chunks[at]!)));
    assert.equal(source.asked.length, 1);
    const [first] = source.asked;
    assert.ok(first!.isUrgent && first!.blocks.length > 1 && first!.blocks.includes(3));
    assert.ok(!state.plane.chunks.isAway(chunks[3]!));
    await fetcher.fetch(chunks[3]!);
    assert.equal(source.asked.length, 1);
    assert.deepEqual(problems, []);
  });

  it('is over for a reader when the store has failed, tells it once, and tells when it works again', async () => {
    source.fault = () => AWAY;
    for (let reader = 0; reader < 2; reader++)
      await assert.rejects(fetcher.fetch(chunks[0]!), { code: 'io', message: AWAY.message });
    assert.ok(state.plane.chunks.isAway(chunks[0]!));
    assert.deepEqual(fetcher.figures.failures, 2);
    assert.equal(fetcher.figures.inFlight, 0);
    source.fault = () => undefined;
    await fetcher.fetch(chunks[0]!);
    // The request has more chunks.
    while (problems.length < 2) await nextTurn();
    assert.deepEqual(problems, [AWAY.message, undefined]);
    await assertContent();
  });

  it('gives a store no more time than the pool lets readers wait', async () => {
    await fetcher.fetch(chunks[0]!);
    assert.ok(
      source.timeouts.every((timeout) => timeout > 0 && timeout <= 1000),
      String(source.timeouts),
    );
  });

  it('fetches all of an image behind what somebody waits for, once however often it is asked', async () => {
    let open = (): void => undefined;
    source.gate = new Promise((resolve) => (open = resolve));
    const image = state.metadata.remote.images()[0]!.id;
    const both = [fetcher.hydrate(image), fetcher.hydrate(image)];
    assert.ok(fetcher.isHydrating(image));
    await nextTurn();
    open();
    await Promise.all(both);
    assert.ok(!fetcher.isHydrating(image));
    assert.deepEqual(
      source.asked.flatMap(({ blocks }) => blocks).sort((a, b) => a - b),
      BLOCKS,
    );
    await state.commit();
    assert.equal(fetcher.figures.remote, 0);
    assert.equal(fetcher.figures.fetched, BLOCKS.length * BLOCK);
    await assertContent();
  });

  it('drops what comes for a chunk that is another’s by then', async () => {
    let open = (): void => undefined;
    source.gate = new Promise((resolve) => (open = resolve));
    const fetched = fetcher.fetch(chunks[0]!);
    await nextTurn();
    state.metadata.removeDevice(state.metadata.devices.find(PULLED)!.id);
    await state.reclaimer.settle();
    open();
    await fetched;
    while (fetcher.figures.inFlight > 0) await nextTurn();
    assert.equal(state.metadata.remote.count, 0);
  });

  it('tells a reader what to start where there is nothing that fetches', async () => {
    const alone = new RemoteFetcher(state, undefined);
    await assert.rejects(alone.fetch(chunks[0]!), { code: 'io', message: /thinfuse start/ });
    assert.equal(alone.figures.inFlight, 0);
    const without = await openPoolState(state.store);
    const read = activate(without, PULLED).read(0, Buffer.alloc(BLOCK));
    await assert.rejects(Promise.resolve(read), { code: 'io', message: /thinfuse start/ });
    await without.plane.chunks.close();
  });

  it('tells whoever waits that the pool is being closed', async () => {
    source.gate = new Promise(() => undefined);
    const fetched = fetcher.fetch(chunks[0]!);
    await nextTurn();
    assert.ok(fetcher.figures.waitedMs > 0);
    await Promise.all([assert.rejects(fetched, { code: 'closed' }), fetcher.close()]);
  });
});
