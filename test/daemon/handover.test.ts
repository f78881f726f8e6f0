import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import {
  forgetHandover,
  hasHandover,
  leaveHandover,
  readHandover,
  type Handover,
} from '../../src/daemon/handover.js';
import { requireResend } from '../../src/daemon/supervisor.js';
import { ThinError } from '../../src/errors/thin-error.js';
import { useScratch } from '../support/mounts.js';

const STATE: Handover = {
  version: 2,
  supervisor: 4712,
  connection: {
    maxIo: 2 ** 20,
    nodes: [{ id: 2, name: 'docker-8:1-42-web' }],
    open: [{ handle: 1, node: 2, name: 'docker-8:1-42-web', unique: '4713' }],
  },
  active: ['web'],
  frozen: ['/pool/dev/docker-8:1-42-web'],
  unfinished: [],
  mounts: [
    {
      name: 'web',
      target: '/pool/mnt/web',
      loop: '/dev/loop7',
      request: {
        image: '/pool/dev/docker-8:1-42-web',
        target: '/pool/mnt/web',
        filesystem: 'xfs',
        readOnly: false,
        mountOptions: '',
        xfsNospaceMaxRetries: 0,
      },
      readOnly: false,
      bounded: true,
      madeTarget: true,
      activated: true,
      pinned: true,
      viewers: [[4711, 2]],
    },
  ],
};

describe('what a daemon leaves to the next one', () => {
  const scratch = useScratch();

  it('is there until it is forgotten', async () => {
    const layout = { root: await scratch.current.folder() };
    assert.equal(hasHandover(layout), false);
    leaveHandover(layout, STATE);
    assert.equal(hasHandover(layout), true);
    assert.deepEqual(readHandover(layout), STATE);
    assert.deepEqual(readHandover(layout), STATE);
    forgetHandover(layout);
    assert.equal(readHandover(layout), undefined);
  });

  it('is nothing where another version left it, or it is damaged', async () => {
    const layout = { root: await scratch.current.folder() };
    for (const text of ['', '{', '{}', JSON.stringify({ ...STATE, version: 1 })]) {
      await writeFile(`${layout.root}/handover.json`, text);
      assert.equal(readHandover(layout), undefined, text);
    }
  });
});

describe('a supervisor', () => {
  it('needs a kernel that asks again', () => {
    for (const kernel of ['6.9.0', '6.18.44-fc', '7.0-rc1']) requireResend(kernel);
    for (const kernel of ['6.8.12', '5.15.0-generic', '4.19'])
      assert.throws(
        () => {
          requireResend(kernel);
        },
        (error) =>
          error instanceof ThinError && error.code === 'unsupported' && error.message.includes(kernel),
      );
  });
});
