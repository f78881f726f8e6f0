import assert from 'node:assert/strict';
import { mkdir, readFile } from 'node:fs/promises';
import { KernelTransport } from '../../src/fuse/kernel-transport.js';
import { MemoryDirectory } from '../../src/testing/memory-image.js';
import { holdInNamespace } from '../support/mount-namespace.js';
import { requireMounts, useScratch } from '../support/mounts.js';
import { testTransport } from './test-transport.js';

testTransport('kernel', (mountPoint, directory) => new KernelTransport(mountPoint, directory));

describe('kernel transport beside other mount namespaces', function () {
  requireMounts(['unshare']);
  const scratch = useScratch();

  it('unmounts, though one of them has a copy of the mount', async () => {
    const folder = scratch.current.at('dev');
    await mkdir(folder);
    const transport = new KernelTransport(folder, new MemoryDirectory());
    await transport.mount();
    const holder = await holdInNamespace(scratch.current, folder);
    assert.match(await readFile(`/proc/${holder.pid}/mountinfo`, 'utf8'), new RegExp(folder));
    await transport.unmount();
    await transport.ended;
  });
});
