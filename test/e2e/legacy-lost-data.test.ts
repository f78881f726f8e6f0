import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises';
import { serveBadSectors } from '../support/bad-sectors.js';
import { Cli } from '../support/cli.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';
import { makeOldPool, type OldPool } from '../support/old-pool.js';

const BLOCK = 65536;
const BIG = 24 * 2 ** 20;

const FILESYSTEMS = [
  { fs: 'ext4', make: ['mkfs.ext4', '-q', '-m', '0', '-O', '^has_journal'], bytes: 64 * 2 ** 20 },
  // The smallest that mkfs.xfs makes.
  { fs: 'xfs', make: ['mkfs.xfs', '-q'], bytes: 320 * 2 ** 20 },
] as const;

interface LostFile {
  readonly path: string;
  readonly ranges: readonly { readonly begin: number; readonly end: number }[];
}

for (const { fs, make, bytes } of FILESYSTEMS)
  describe(`end to end: an old pool with ${fs} whose data is not all there`, function () {
    this.timeout(300_000);
    requireMounts([make[0], 'thin_restore', 'filefrag', 'losetup']);
    const scratch = useScratch();
    const at = (name: string): string => scratch.current.at(name);
    let cli: Cli;
    let pool: OldPool;
    let big: Buffer;
    let data: Buffer;

    before('make it', async () => {
      await writeFile(at('vm'), '');
      await truncate(at('vm'), bytes);
      const [tool, ...args] = make;
      await run(tool, [...args, at('vm')]);
      const loop = await scratch.current.attach(at('vm'), { directIo: false });
      const folder = await scratch.current.mount(loop, fs, []);
      big = randomBytes(BIG);
      await writeFile(`${folder}/big file`, big);
      await writeFile(`${folder}/small`, 'small\n');
      await scratch.current.unmount(folder);
      await scratch.current.detach(loop);
      pool = await makeOldPool(
        at('pool'),
        [{ id: 1, image: at('vm'), creationTime: 0, snapTime: 0, transaction: 0 }],
        { dataBlocks: bytes / BLOCK },
      );
      data = await readFile(pool.data);
      cli = new Cli(scratch.current);
    });

    const exported = async (from: string, ...more: readonly string[]): ReturnType<Cli['try']> =>
      cli.try(
        ...['legacy', 'export', '--metadata', pool.metadata, '--data', from, 'thin-1', '--output', at('out')],
        ...more,
      );

    /**
     * What is there comes out, and the rest is zeroes and listed: by range, and by file. Returns the lost
     * ranges of the one file.
     */
    async function taken(from: string): Promise<LostFile['ranges']> {
      const { code, stdout, stderr } = await exported(from, '--skip-damaged', '--json');
      assert.equal(code, 1, stderr);
      const { lostBytes, lostFiles } = JSON.parse(stdout) as {
        lostBytes: readonly { begin: number; end: number }[];
        lostFiles: readonly LostFile[];
      };
      const expected = await readFile(at('vm'));
      for (const { begin, end } of lostBytes) expected.fill(0, begin, end);
      assert.ok((await readFile(at('out'))).equals(expected));
      assert.deepEqual(
        lostFiles.map((file) => file.path),
        ['big file'],
        stderr,
      );
      assert.match(stderr, /file big file has zeroes at /);
      return lostFiles[0]!.ranges;
    }

    it('takes what is there of a file that is too short', async () => {
      const short = at('short');
      await copyFile(pool.data, short);
      // Blocks lie anywhere, so this is the piece of the file that lies last.
      const places = Array.from({ length: BIG / BLOCK }, (_, index) => ({
        place: index * BLOCK,
        data: data.indexOf(big.subarray(index * BLOCK, index * BLOCK + 4096)),
      }));
      const last = places.reduce((a, b) => (b.data > a.data ? b : a));
      await truncate(short, last.data + 8192);
      const refused = await exported(short);
      assert.equal(refused.code, 7);
      assert.match(refused.stderr, /bytes \d+ to \d+ cannot be read: .*ends before it/);
      assert.ok(
        (await taken(short)).some(
          ({ begin, end }) => begin <= last.place + 8192 && end >= last.place + 8192 + 4096,
        ),
      );
    });

    it('takes what can be read of a disk with bad sectors', async () => {
      await mkdir(at('bad'));
      // Where its bytes at 1 and at 3 MiB came to lie.
      const bad = [2 ** 20, 3 * 2 ** 20].map((place, index) => {
        const begin = data.indexOf(big.subarray(place, place + 4096));
        return { begin: begin + 512, end: begin + (index === 0 ? 1024 : 4096) };
      });
      const end = await serveBadSectors(at('bad'), pool.data, bad);
      try {
        assert.deepEqual(await taken(`${at('bad')}/disk`), [
          { begin: 2 ** 20 + 512, end: 2 ** 20 + 1024 },
          { begin: 3 * 2 ** 20 + 512, end: 3 * 2 ** 20 + 4096 },
        ]);
      } finally {
        await end();
      }
    });
  });
