import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { partialName, partialOf } from '../../src/transfer/partial-name.js';
import { isPassing } from '../../src/format/passing-name.js';
import { ServedAccess, type PoolAccess } from '../../src/transfer/pool-access.js';
import { ChildProcessExec } from '../../src/host/exec.js';
import { withStill } from '../../src/transfer/still-device.js';
import type { Caller, DeviceStatus } from '../../src/api/operations.js';
import { ThinError, type ThinErrorCode } from '../../src/errors/thin-error.js';

/** A pool that answers what the helpers ask of it. */
class FakeCaller {
  readonly names: string[];
  readonly active = new Set<string>();
  /** Open for writing. */
  readonly written = new Set<string>();
  readonly log: string[] = [];
  refusal: ThinErrorCode | undefined;
  image = '';

  constructor(...names: readonly string[]) {
    this.names = [...names];
  }

  get access(): PoolAccess {
    return new ServedAccess(this as unknown as Caller, new ChildProcessExec());
  }

  call(name: string, input: { name: string }): Promise<unknown> {
    this.log.push(
      name === 'device.list' ? name : `${name} ${isPassing(input.name) ? 'passing' : input.name}`,
    );
    switch (name) {
      case 'device.get':
        return Promise.resolve({ name: input.name, ...this.#use(input.name) } as DeviceStatus);
      case 'device.list':
        return Promise.resolve(this.names.map((known) => ({ name: known })));
      case 'device.create':
        if (this.refusal !== undefined) return Promise.reject(new ThinError(this.refusal, 'refused'));
        this.names.push(input.name);
        return Promise.resolve({});
      case 'device.remove':
        this.names.splice(this.names.indexOf(input.name), 1);
        return Promise.resolve({});
      case 'activate':
        return Promise.resolve({ path: this.image, fresh: !this.active.has(input.name) });
      default:
        return Promise.resolve({});
    }
  }

  #use(name: string): Partial<DeviceStatus> {
    return { active: this.active.has(name), writers: this.written.has(name) ? 1 : 0 };
  }
}

describe('devices that are held still', () => {
  it('are snapshots that go away, whatever happened', async () => {
    const pool = new FakeCaller('web');
    const name = await withStill(pool.access, 'web', (still) => Promise.resolve(still.name));
    assert.ok(isPassing(name));
    const failing = withStill(pool.access, 'web', () => Promise.reject(new Error('work failed')));
    await assert.rejects(failing, /work failed/);
    assert.deepEqual(pool.names, ['web']);
  });

  it('are the devices themselves where no snapshot can be taken and nobody can write to them', async () => {
    for (const refusal of ['read-only', 'no-space'] as const) {
      const pool = new FakeCaller('web');
      pool.refusal = refusal;
      const held = (): Promise<string> =>
        withStill(pool.access, 'web', (still) => Promise.resolve(still.name));
      assert.equal(await held(), 'web');
      pool.active.add('web');
      assert.equal(await held(), 'web', 'others may read it meanwhile');
      pool.written.add('web');
      if (refusal === 'read-only') assert.equal(await held(), 'web', 'nothing that is written gets there');
      else await assert.rejects(held(), { code: 'busy' });
      assert.deepEqual(pool.names, ['web']);
    }
    const pool = new FakeCaller('web');
    pool.refusal = 'not-found';
    await assert.rejects(
      withStill(pool.access, 'web', () => Promise.resolve()),
      { code: 'not-found' },
    );
  });

  it('are only activated to be read, and read as zeroes behind their end', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'thinfuse-test-'));
    try {
      const pool = new FakeCaller('web');
      pool.image = path.join(folder, 'image');
      await writeFile(pool.image, 'content');
      await withStill(pool.access, 'web', () => Promise.resolve());
      assert.ok(!pool.log.some((call) => call.startsWith('activate')));
      const bytes = Buffer.alloc(6, 1);
      await withStill(pool.access, 'web', (still) => still.read(4, bytes));
      assert.deepEqual(bytes, Buffer.from('ent\0\0\0'));
      assert.deepEqual(pool.log.slice(-3), [
        'activate passing',
        'deactivate passing',
        'device.remove passing',
      ]);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('the name of a part', () => {
  it('says of what it is and how far it has come', () => {
    const point = { offset: 1048576, sum: 'ab'.repeat(16) };
    const name = partialName('web.1', point);
    assert.deepEqual(partialOf('web.1', name), point);
    for (const other of ['web', 'web.1.partial', name.slice(1)])
      assert.equal(partialOf(other, name), undefined);
    assert.equal(partialOf('web.1', 'web.1.partial-1-abc'), undefined);
    assert.throws(() => partialName('x'.repeat(100), point), { code: 'invalid-argument' });
  });
});
