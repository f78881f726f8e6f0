import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import type { TransportFactory } from '../../src/fuse/transport.js';
import type { Served } from '../../src/testing/served-mount.js';
import { transportContract } from '../../src/testing/transport-contract.js';
import { requireMounts, useScratch, type Scratch } from '../support/mounts.js';
import { devicesOnTransport } from './transport-devices.js';

const SERVER = path.join(import.meta.dirname, '../support/serve-until-told.ts');

/** The contract, and what real programs and a dying process find on a transport of ours. */
export function testTransport(name: string, factory: TransportFactory): void {
  describe(`${name}: transport compliance`, () => {
    requireMounts(['fio', 'mkfs.xfs', 'xfs_io', 'xfs_repair', 'blkdiscard', 'fallocate', 'setpriv']);
    const scratch = useScratch();
    transportContract({ describe, it, beforeEach, afterEach }, name, factory, {
      folder: () => scratch.current.folder('dev'),
      also: (served) => {
        deaths(served, scratch);
        devicesOnTransport(served, scratch);
      },
    });
  });
}

function deaths(served: () => Served, current: { readonly current: Scratch }): void {
  for (const how of ['exits', 'is killed'] as const)
    it(`hangs nobody when the serving process ${how} with its mount up`, async () => {
      const { transport } = served();
      const scratch = current.current;
      const folder = await scratch.folder('dev');
      const child = scratch.start(process.execPath, ['--import', 'tsx', SERVER, transport.kind, folder], {
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      const ended = new Promise((resolve) => child.once('exit', (code) => resolve(code)));
      await new Promise((resolve) => child.stdout?.once('data', resolve));
      assert.equal((await stat(path.join(folder, 'a'))).size, 1024 ** 2);
      if (how === 'exits') {
        child.stdin?.write('exit\n');
        assert.equal(await ended, 3);
      } else await scratch.stop(child);
      await assert.rejects(stat(path.join(folder, 'a')), ({ code }: NodeJS.ErrnoException) =>
        ['ENOENT', 'ENOTCONN'].includes(code ?? ''),
      );
    });
}
