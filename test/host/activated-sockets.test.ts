import assert from 'node:assert/strict';
import { ActivatedSockets, type Activation } from '../../src/host/activated-sockets.js';

const TABLE = `Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 700 /run/with a space.sock
0000000000000000: 00000002 00000000 00010000 0001 01    71 /run/two.sock
0000000000000000: 00000003 00000000 00000000 0001 03 72
0000000000000000: 00000002 00000000 00010000 0001 01 73 @abstract
`;

const activation = (inodes: readonly (string | undefined)[], pid = 5): Activation => ({
  env: { LISTEN_PID: '5', LISTEN_FDS: `${inodes.length}` },
  pid,
  inodeOf: (descriptor) => inodes[descriptor - 3],
  table: () => TABLE,
});

describe('sockets of a service manager', () => {
  it('are found by their paths, each once', () => {
    const sockets = new ActivatedSockets(activation(['700', '71']));
    assert.equal(sockets.take('/run/two.sock'), 4);
    assert.equal(sockets.take('/run/two.sock'), undefined);
    assert.throws(() => sockets.requireAllTaken(), {
      code: 'invalid-argument',
      message: /with a space\.sock/,
    });
    assert.equal(sockets.take('/run/with a space.sock'), 3);
    sockets.requireAllTaken();
  });

  it('are none where they were meant for another process, or for nobody', () => {
    const nothing = { table: () => '', inodeOf: () => undefined, pid: 5 };
    for (const sockets of [
      new ActivatedSockets(activation(['71'], 6)),
      new ActivatedSockets({ env: {}, ...nothing }),
      new ActivatedSockets({ env: { LISTEN_PID: '5' }, ...nothing }),
    ]) {
      assert.equal(sockets.take('/run/two.sock'), undefined);
      sockets.requireAllTaken();
    }
  });

  it('are refused where they have no path', () => {
    for (const inode of [undefined, '72', '73'])
      assert.throws(() => new ActivatedSockets(activation([inode])), { code: 'invalid-argument' });
  });
});
