import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { Cli } from '../support/cli.js';
import { useScratch } from '../support/mounts.js';

describe("command line: broken metadata of the kernel's", () => {
  const scratch = useScratch();

  it('is told in the words of thin-provisioning-tools, and in no others', async () => {
    const metadata = scratch.current.at('metadata');
    await writeFile(metadata, Buffer.alloc(64 * 4096, 7));
    const cli = new Cli(scratch.current);
    for (const output of [[], ['--output', scratch.current.at('dumped')]]) {
      const { code, stderr } = await cli.try('dump', '--metadata', metadata, ...output);
      assert.equal(code, 1);
      assert.notEqual(stderr, '');
      assert.doesNotMatch(stderr, /^thinfuse:/m);
    }
  });
});
