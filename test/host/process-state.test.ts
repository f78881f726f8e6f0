import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { makerOf } from '../../src/host/maker.js';
import { processState } from '../../src/host/process-state.js';
import { eventually } from '../support/eventually.js';

/** Its first thread ends, and the other one goes on until it is killed. */
const FIRST_THREAD_ENDS = `
import ctypes, threading, time
threading.Thread(target=lambda: time.sleep(3600)).start()
ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[__import__('platform').machine()], 0)
`;

describe('the state of a process', () => {
  it('is that of this one', () => {
    assert.equal(processState(process.pid)?.parent, process.ppid);
  });

  it('has none that was reaped', async () => {
    const child = spawn('true');
    await once(child, 'exit');
    assert(child.pid !== undefined);
    assert.equal(processState(child.pid), undefined);
  });

  it('counts one whose first thread alone has ended as living', async function () {
    const child = spawn('python3', ['-c', FIRST_THREAD_ENDS]);
    const started = await once(child, 'spawn').then(
      () => true,
      () => false,
    );
    if (!started) return this.skip();
    const { pid } = child;
    assert(pid !== undefined);
    try {
      await eventually('the first thread has ended', async () => {
        return (await readFile(`/proc/${pid}/stat`, 'latin1')).includes(' Z ');
      });
      assert.notEqual(processState(pid), undefined);
      assert.notEqual(await makerOf(pid), undefined);
    } finally {
      child.kill('SIGKILL');
    }
    await once(child, 'exit');
    assert.equal(processState(pid), undefined);
  });
});
