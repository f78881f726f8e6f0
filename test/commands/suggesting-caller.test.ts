import assert from 'node:assert/strict';
import type { Caller } from '../../src/api/operations.js';
import { SuggestingCaller } from '../../src/commands/suggesting-caller.js';
import { ThinError } from '../../src/errors/thin-error.js';

const THERE = ['base', 'web-1', 'db'];

/** Has the devices of `THERE`; every other call lacks the device that it names. */
class LackingCaller {
  call(name: string, input: { readonly name?: string; readonly origin?: string }): Promise<unknown> {
    if (name === 'device.list') return Promise.resolve(THERE.map((each) => ({ name: each })));
    const device = input.origin ?? input.name ?? '';
    return Promise.reject(
      new ThinError('not-found', `no device ${device} in the pool`, { details: { device } }),
    );
  }
}

describe('a device that is not there', () => {
  const caller = new SuggestingCaller(new LackingCaller() as unknown as Caller);
  const said = async (work: Promise<unknown>): Promise<string> => {
    const error = await work.then(
      () => assert.fail('it was found'),
      (reason: unknown) => reason,
    );
    assert(error instanceof ThinError && error.code === 'not-found');
    return error.message;
  };

  it('is named beside what may have been meant', async () => {
    assert.match(await said(caller.call('device.get', { name: 'web' })), /web-1/);
    assert.equal(await said(caller.call('device.get', { name: 'other' })), 'no device other in the pool');
  });

  it('is a new name in the place of the origin, where the origin stands in the place of the new name', async () => {
    const snapshot = (name: string, origin: string) =>
      caller.call('device.create', { name, origin, kind: 'snapshot' });
    assert.match(await said(snapshot('db', 'db-before')), /what is made comes first/);
    assert.doesNotMatch(await said(snapshot('new', 'db-before')), /comes first/);
  });
});
