import assert from 'node:assert/strict';
import type { DeviceName } from '../../src/format/ids.js';
import type { ThinPool } from '../../src/pool/thin-pool.js';

/** What a device must read as: a plain byte array each, copied whole at a snapshot. */
export class PoolModel {
  readonly #devices = new Map<DeviceName, Uint8Array>();
  readonly pool: ThinPool;

  constructor(pool: ThinPool, base: DeviceName, size: number) {
    this.pool = pool;
    this.#devices.set(base, new Uint8Array(size));
  }

  get names(): readonly DeviceName[] {
    return [...this.#devices.keys()];
  }

  async write(name: DeviceName, offset: number, bytes: Uint8Array): Promise<void> {
    const file = await this.pool.activate(name);
    await file.write(offset, bytes);
    this.#of(name).set(bytes, offset);
  }

  /** Only blocks that lie wholly in the range lose their contents. */
  async discard(name: DeviceName, offset: number, length: number, blockSize: number): Promise<void> {
    const file = await this.pool.activate(name);
    await file.discard(offset, length);
    const end =
      offset + length >= file.size ? file.size : Math.floor((offset + length) / blockSize) * blockSize;
    const first = Math.ceil(offset / blockSize) * blockSize;
    if (end > first) this.#of(name).fill(0, first, end);
  }

  async writeZeroes(name: DeviceName, offset: number, length: number): Promise<void> {
    const file = await this.pool.activate(name);
    await file.writeZeroes(offset, length);
    this.#of(name).fill(0, offset, offset + length);
  }

  async snapshot(origin: DeviceName, name: DeviceName): Promise<void> {
    await this.pool.createSnapshot({ name, origin, kind: 'snapshot' });
    this.#devices.set(name, this.#of(origin).slice());
  }

  async remove(name: DeviceName): Promise<void> {
    await this.pool.deactivate(name);
    await this.pool.remove(name);
    this.#devices.delete(name);
  }

  /** The same devices over another opening of the pool. */
  onto(pool: ThinPool): PoolModel {
    const model = new PoolModel(pool, this.names[0]!, 0);
    for (const [name, bytes] of this.#devices) model.#devices.set(name, bytes.slice());
    return model;
  }

  async verify(): Promise<void> {
    for (const [name, { length }] of this.#devices) await this.expect(name, 0, length);
  }

  async expect(name: DeviceName, offset: number, length: number): Promise<void> {
    const expected = this.#of(name).slice(offset, offset + length);
    const file = await this.pool.activate(name);
    const found = new Uint8Array(length);
    await file.read(offset, found);
    assert.ok(Buffer.from(found).equals(expected), `device ${name} does not read as it was written`);
  }

  /** All the space that is in use is some device's, and a check of the store finds nothing. */
  async checkPool(): Promise<void> {
    await this.pool.settle();
    const { findings } = await this.pool.check();
    assert.deepEqual(findings, []);
    for (const device of this.pool.devices()) assert.equal(device.mapped, device.exclusive + device.shared);
  }

  #of(name: DeviceName): Uint8Array {
    const bytes = this.#devices.get(name);
    assert.ok(bytes !== undefined, `the model has no device ${name}`);
    return bytes;
  }
}
