import assert from 'node:assert/strict';
import path from 'node:path';
import { fieldsOf } from '../../src/containerd/known-fields.js';
import { STATUS } from '../../src/containerd/status.js';
import { startFakeDaemon } from '../support/fake-daemon.js';
import { useScratch } from '../support/mounts.js';
import { SnapshotClient } from '../support/snapshot-client.js';

/** A field of text, as Protocol Buffers have it. */
function text(number: number, value: string): Buffer {
  return Buffer.concat([Buffer.from([number * 8 + 2, value.length]), Buffer.from(value)]);
}

describe('fields of a request', () => {
  const scratch = useScratch();

  it('are told by their numbers, whatever they hold', () => {
    const [varint, fixed64, fixed32] = ['08ac02', '110102030405060708', '2d01020304'];
    const bytes = Buffer.concat([...[varint, fixed64, fixed32].map((hex) => Buffer.from(hex, 'hex'))]);
    assert.deepEqual(fieldsOf(Buffer.concat([bytes, text(3, 'abc'), text(3, '')])), [1, 2, 5, 3]);
    for (const broken of ['', '0a', '0aff', 'ffffffffffffffffffff', '0b'])
      fieldsOf(Buffer.from(broken, 'hex'));
  });

  it('are refused where they are not known, and nothing is done', async () => {
    const root = scratch.current.at('root');
    const socket = path.join(root, 's.sock');
    const fake = await startFakeDaemon(root, { snapshotter: { socket, mounts: 'bind' } });
    const client = new SnapshotClient(socket);
    await client.prepare('a');
    // containerd 2.2's parent of a commit, for snapshotters that say `rebase`.
    const commit = Buffer.concat([text(1, 'thinfuse'), text(2, 'layer'), text(3, 'a'), text(5, 'other')]);
    await assert.rejects(client.raw('Commit', commit), { code: STATUS.INVALID_ARGUMENT, details: /\(5\)/ });
    assert.equal((await client.stat('a')).kind, 'ACTIVE');
    client.close();
    await fake.daemon.stop('the test is over');
  });
});
