import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cli } from '../support/cli.js';
import { buildMetadata } from '../support/legacy-metadata.js';
import { useScratch } from '../support/mounts.js';

describe('command line: old pools', function () {
  this.timeout(120_000);
  const scratch = useScratch();
  let cli: Cli;
  let metadata: string;

  before(async () => {
    cli = new Cli(scratch.current);
    metadata = scratch.current.at('metadata');
    const mappings = new Map([[3, { data: 0, time: 0 }]]);
    await writeFile(
      metadata,
      buildMetadata([{ id: 7, creationTime: 0, snapTime: 0, mappings }], { dataBlocks: 4 }),
    );
    await writeFile(scratch.current.at('data'), Buffer.alloc(4 * 65536, 5));
    await mkdir(scratch.current.at('empty'));
    await writeFile(scratch.current.at('zeroes'), Buffer.alloc(8192));
  });

  const at = (name: string): string => scratch.current.at(name);

  it('has help with an example for each command', async () => {
    for (const command of ['ls', 'info', 'mount', 'export', 'import']) {
      const { code, stdout } = await cli.try('legacy', command, '--help');
      assert.equal(code, 0);
      assert.match(stdout, /\(PATH\.\.\. \| --metadata META/);
      assert.match(stdout, /Example:\n {2}\$ thinfuse legacy/);
    }
  });

  it('says what is wrong with what it was given, and what to do', async () => {
    const files = ['--metadata', metadata, '--data', at('data')];
    const cases: readonly [readonly string[], number, RegExp][] = [
      [['legacy'], 2, /./],
      [['legacy', 'frobnicate'], 2, /./],
      [['legacy', 'ls', '--frobnicate'], 2, /--frobnicate/],
      [['legacy', 'ls'], 2, /name the old pool/],
      [['legacy', 'ls', at('empty'), 'more'], 2, /more are not disks/],
      [['legacy', 'ls', at('nowhere')], 3, /nowhere is not a folder/],
      [['legacy', 'ls', at('empty')], 3, /no pool of Docker/],
      [['legacy', 'ls', '--metadata', at('nowhere')], 3, /nowhere is not there/],
      [['legacy', 'ls', '--metadata', at('empty')], 2, /neither a file nor a block device/],
      [
        ['legacy', 'ls', '--metadata', at('zeroes')],
        7,
        /superblock of .*zeroes is damaged: it is all zeroes/,
      ],
      [['legacy', 'ls', '--metadata', '/dev/null'], 2, /neither a file nor a block device/],
      [['legacy', 'ls', '--metadata', metadata, '--metadata-snap'], 2, /no metadata snapshot/],
      [['legacy', 'ls', ...files, '--block-size', '3000'], 2, /3000 bytes are no data block.*64K/],
      [['legacy', 'export', ...files, '7'], 2, /--output/],
      [['legacy', 'export', ...files, '7', '-o', at('o'), '--format', 'vhd'], 2, /raw, tar/],
      [['legacy', 'export', ...files, '8', '-o', at('o')], 3, /no device 8/],
      [['legacy', 'export', '--metadata', metadata, '7', '-o', at('o')], 2, /--data/],
      [['legacy', 'export', ...files, '7', '-o', at('nowhere/o')], 3, /make the folder first/],
      [['legacy', 'export', ...files, '7', '-o', at('empty')], 2, /is not a file/],
      [['legacy', 'export', ...files, '7', '-o', at('o'), '--size', '1K'], 2, /cannot have/],
      [['legacy', 'export', ...files, '7', '-o', at('o'), '--format', 'tar'], 8, /neither xfs nor ext4/],
      [['legacy', 'mount', ...files, '7'], 2, /1 operands/],
      [['legacy', 'mount', ...files, '7', at('t')], 8, /--image/],
      [['legacy', 'import', ...files], 2, /0 operands/],
      [['legacy', 'import', ...files, '--all', '--name', 'x'], 2, /--prefix/],
      [['legacy', 'import', ...files, '7', '--name', 'a/b'], 3, /thinfuse init/],
      [['legacy', 'import', ...files, '7'], 3, /thinfuse init/],
    ];
    const outcomes = await Promise.all(cases.map(([args]) => cli.try(...args)));
    for (const [index, [args, expected, message]] of cases.entries()) {
      const { code, stdout, stderr } = outcomes[index]!;
      assert.equal(code, expected, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, message, args.join(' '));
      assert.equal(stdout, '');
    }
  });

  it('lists and exports what it knows nothing about', async () => {
    const [device] = await cli.json<Record<string, unknown>[]>('legacy', 'ls', '--metadata', metadata);
    assert.deepEqual(device, {
      id: 7,
      name: 'thin-7',
      kind: 'thin',
      group: null,
      pool: metadata,
      origin: null,
      externalOrigin: null,
      state: 'sound',
      names: [],
      hash: null,
      parent: null,
      filesystem: null,
      size: null,
      mapped: 65536,
      highestMapped: 4 * 65536,
      transactionId: 7,
      creationTime: 0,
      snapTime: 0,
      damaged: false,
    });
    const output = at('out');
    const files = ['--metadata', metadata, '--data', at('data')];
    const exported = await cli.json<{ size: number }>('legacy', 'export', ...files, '7', '--output', output);
    assert.equal(exported.size, 4 * 65536);

    assert.deepEqual(
      await readFile(output),
      Buffer.concat([Buffer.alloc(3 * 65536), Buffer.alloc(65536, 5)]),
    );
  });

  it('fails with 7 where the superblock is damaged, or data ends too early', async () => {
    const bytes = await readFile(metadata);
    bytes[100]! ^= 1;
    const broken = path.join(scratch.current.root, 'broken');
    await writeFile(broken, bytes);
    const { code, stderr } = await cli.try('legacy', 'ls', '--metadata', broken, '--json');
    assert.equal(code, 7);
    assert.equal((JSON.parse(stderr) as { error: { code: string } }).error.code, 'damaged');
    await writeFile(at('short'), Buffer.alloc(100));
    const files = ['--metadata', metadata, '--data', at('short')];
    assert.equal((await cli.try('legacy', 'export', ...files, '7', '--output', at('p'))).code, 7);
    const info = await cli.try('legacy', 'info', ...files);
    assert.equal(info.code, 7);
    assert.match(info.stdout, /short: it has 100 bytes/);
  });
});
