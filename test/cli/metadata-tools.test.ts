import assert from 'node:assert/strict';
import { cp, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { CommanderError, type Command } from 'commander';
import { buildProgram } from '../../src/cli/program.js';
import { BASE_NAME } from '../../src/format/device-name.js';
import type { DeviceName } from '../../src/format/ids.js';
import { rangeOf } from '../../src/format/keys.js';
import { openPool } from '../../src/pool/pool.js';
import { openLevelStore } from '../../src/store/level-store.js';
import { makeBarePool } from '../support/bare-pool.js';
import { useCliSession, type SessionCli } from '../support/cli-session.js';
import { startFakeDaemon } from '../support/fake-daemon.js';
import { useScratch } from '../support/mounts.js';

const BLOCK = 65536;
const TOOLS: readonly (readonly string[])[] = [
  ['check'],
  ['scrub'],
  ['dump'],
  ['delta', 'base', 'web'],
  ['rmap', '--region', '0..9'],
  ['ls'],
  ['reserve'],
  ['reserved'],
  ['release', '1'],
  ['set-transaction-id', '1', '2'],
  ['restore', '-i', '/dev/null'],
  ['repair', '-o', '/nowhere/new'],
];

/** In the base device five blocks, of which `web` has written one anew. */
async function furnish(root: string): Promise<void> {
  await makeBarePool(root);
  const pool = await openPool(await openLevelStore(path.join(root, 'devicemapper')));
  await (await pool.activate(BASE_NAME)).write(0, new Uint8Array(5 * BLOCK).fill(1));
  const web = 'web' as DeviceName;
  await pool.createSnapshot({ name: web, origin: BASE_NAME, kind: 'snapshot' });
  await (await pool.activate(web)).write(2 * BLOCK, new Uint8Array(BLOCK).fill(2));
  await pool.close();
}

/** Flips a bit in the first value of a kind; returns how it is called. */
async function spoil(root: string, kind: Parameters<typeof rangeOf>[0]): Promise<void> {
  const store = await openLevelStore(path.join(root, 'devicemapper'));
  for await (const [key, value] of store.entries(rangeOf(kind))) {
    const spoilt = value.slice();
    spoilt[20]! ^= 4;
    await store.batch([{ type: 'put', key, value: spoilt }], { sync: true });
    break;
  }
  await store.close();
}

describe('command line: metadata tools', function () {
  this.timeout(120_000);
  const scratch = useScratch();
  const clis = useCliSession();
  let cli: SessionCli;
  let damaged: SessionCli;

  before(async () => {
    cli = clis.on(scratch.current.at('root'));
    await furnish(cli.root);
    damaged = clis.on(scratch.current.at('damaged'));
    await cp(cli.root, damaged.root, { recursive: true });
    await spoil(damaged.root, 'node');
  });

  it('have a help that names the root, and refuse an option that they do not know', async () => {
    for (const [name = '', ...args] of [
      ...TOOLS,
      ['metadata-size', '-b', '64k', '-s', '1g', '-m', '1'],
      ['status', '--dm'],
    ]) {
      const program = await buildProgram();
      const command = program.commands.find((each: Command) => each.name() === name);
      assert.match(command?.helpInformation() ?? '', /--root/, name);
      await assert.rejects(
        program.parseAsync(['node', 'thinfuse', name, ...args, '--frobnicate']),
        (error) => error instanceof CommanderError && error.code === 'commander.unknownOption',
        name,
      );
    }
  });

  it('say that there is no pool', async () => {
    const none = clis.on(scratch.current.at('none'));
    for (const args of TOOLS) {
      const { code, stderr } = await none.try(...args);
      assert.equal(code, 3, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, /thinfuse init/);
    }
    await assert.rejects(stat(none.root), { code: 'ENOENT' });
  });

  it('say what is not there, and what cannot be', async () => {
    for (const [args, expected, message] of [
      [['dump', '--dev-id', 'nobody'], 3, /nobody/],
      [['dump', '-o', '/nowhere/pool.xml'], 3, /nowhere/],
      [['dump', '--metadata-snap'], 3, /thinfuse .*reserve/],
      [['delta', 'base'], 2, /both/],
      [['delta', 'base', 'nobody'], 3, /nobody/],
      [['rmap', '--region', '7..7'], 2, /BEGIN\.\.END/],
      [['ls', '-o', 'DEV,COLOUR'], 2, /COLOUR/],
      [['release', '4'], 3, /4/],
      [['release'], 2, /--all/],
      [['set-transaction-id', '77', '78'], 2, /not 77/],
      [['restore', '-i', '/nowhere/pool.xml', '--replace'], 3, /nowhere/],
      [['restore', '-i', '/dev/null'], 4, /--replace/],
      [['restore', '-i', '/dev/null', '--replace'], 2, /no superblock|not XML/],
      [['repair', '-o', cli.root], 2, /another folder/],
      [['check', '--skip-mappings', '--auto-repair'], 2, /can only repair or clear what it has read/],
    ] as const) {
      const { code, stderr } = await cli.try(...args);
      assert.equal(code, expected, `${args.join(' ')}: ${stderr}`);
      assert.match(stderr, message);
    }
  });

  it('print what thin-provisioning-tools print', async () => {
    assert.match(await cli.run('dump'), /^<superblock uuid="" time="1".*nr_data_blocks="16384">\n/);
    assert.match(
      await cli.run('dump', '--format', 'human', '--dev-id', 'web'),
      /\(0\.\.1\) -> \(0\.\.1\), 0\n {4}2 -> 5, 1\n/,
    );
    assert.match(
      await cli.run('delta', '--thin1', '1', '--thin2', '2'),
      /<different begin="2" length="1"\/>/,
    );
    assert.equal(
      await cli.run('rmap', '--region', '4..6'),
      'data 4..5 -> thin(1) 4..5\ndata 4..5 -> thin(2) 4..5\ndata 5..6 -> thin(2) 2..3\n',
    );
    assert.equal(
      await cli.run('ls', '-o', 'DEV,MAPPED,EXCLUSIVE_BLOCKS', '--no-headers'),
      '1 320KiB 1 \n2 320KiB 1 \n',
    );
    assert.match(
      await cli.run('check'),
      /2 devices.*no problem found\nTRANSACTION_ID=2\nMETADATA_FREE_BLOCKS=\d+\n$/,
    );
  });

  it('scrub a pool that is well', async () => {
    assert.equal(await cli.run('scrub'), '2 devices, 2 nodes, 6 chunks read: no problem found\n');
  });

  it('keep metadata snapshots, as many as wanted', async () => {
    assert.equal(await cli.run('reserve'), '1\n');
    assert.equal(await cli.run('reserve'), '2\n');
    assert.deepEqual(
      (await cli.json<{ id: number }[]>('reserved')).map(({ id }) => id),
      [1, 2],
    );
    assert.match(await cli.run('dump', '--metadata-snap', '1'), /dev_id="2"/);
    assert.equal(await cli.run('release', '--all'), '1\n2\n');
    assert.equal(await cli.run('set-transaction-id', '2', '7'), '7\n');
    assert.match(await cli.run('check'), /TRANSACTION_ID=7/);
  });

  it('find damage, name it, pass over it where they are told to, and rebuild around it', async () => {
    const found = await damaged.try('check');
    assert.equal(found.code, 1);
    assert.match(found.stdout, /node \d+ is damaged: its checksum/);
    assert.match(found.stderr, /thinfuse repair/);
    assert.equal((await damaged.try('check', '--auto-repair')).code, 1, 'what is lost is not made up');
    const scrubbed = await damaged.try('scrub', '--json');
    assert.equal(scrubbed.code, 1);
    assert.match(scrubbed.stdout, /"path": "device 1 \/ node \d+"/);
    assert.match((await damaged.try('check')).stdout, /needs_check/);
    const output = scratch.current.at('cut.xml');
    const dumped = await damaged.try('dump', '-o', output);
    assert.equal(dumped.code, 7);
    assert.match(dumped.stderr, /node \d+/);
    await assert.rejects(readFile(output), { code: 'ENOENT' });
    assert.match(await damaged.run('dump', '--repair'), /<!-- lost: blocks 0 to 8191 of device 1: node \d+/);
    assert.equal((await damaged.try('delta', 'base', 'web')).code, 7);
    assert.equal((await damaged.try('rmap', '--region', '0..9')).code, 7);
    const mended = clis.on(scratch.current.at('mended'));
    assert.match(
      await damaged.run('repair', '-o', mended.root),
      /lost: device 1 \(base\), blocks 0 to 8191: node/,
    );
    assert.equal((await mended.try('check')).code, 0);
    assert.match(await mended.run('rmap', '--region', '0..9'), /thin\(2\) 2\.\.3/);
    assert.equal((await damaged.try('repair', '-o', mended.root)).code, 4, 'never over a pool');
  });

  it('restore a dump in the place of metadata that is lost, with what the command says instead', async () => {
    const hurt = clis.on(scratch.current.at('hurt'));
    await cp(cli.root, hurt.root, { recursive: true });
    const file = scratch.current.at('pool.xml');
    await cli.run('dump', '-o', file);
    await spoil(hurt.root, 'superblock');
    await spoil(hurt.root, 'node-map-sheet');
    assert.equal((await hurt.try('ls')).code, 7);
    assert.equal(await hurt.run('restore', '-i', file, '--transaction-id', '40', '-q'), '');
    assert.match(await hurt.run('check'), /no problem found\nTRANSACTION_ID=40/);
    await writeFile(file, (await readFile(file, 'utf8')).replace('data_block="5"', 'data_block="50"'));
    const { code, stderr } = await hurt.try('restore', '-i', file, '--replace');
    assert.equal(code, 7, stderr);
    assert.match(stderr, /maps chunk 50, which the pool does not hold/);
    assert.match(await hurt.run('check'), /TRANSACTION_ID=40/);
  });

  it('wait for who has the pool, and say who it is', async () => {
    const store = await openLevelStore(path.join(cli.root, 'devicemapper'));
    try {
      const outcomes = await Promise.all(TOOLS.map((args) => cli.try(...args)));
      for (const { code, stderr } of outcomes) {
        assert.equal(code, 5, stderr);
        assert.match(stderr, /in use by/);
      }
      assert.ok(outcomes.some(({ stderr }) => stderr.includes(`process ${process.pid} `)));
    } finally {
      await store.close();
    }
  });

  it('leave the metadata of a pool to the daemon that serves it', async () => {
    const served = clis.on(scratch.current.at('served'));
    await makeBarePool(served.root);
    const { daemon } = await startFakeDaemon(served.root);
    try {
      assert.equal(await served.run('status', '--dm'), '1 2/3 4/5 - rw\n');
      for (const args of [
        ['restore', '-i', '/dev/null', '--replace'],
        ['repair', '-o', scratch.current.at('elsewhere')],
        ['check', '--auto-repair'],
      ]) {
        const { code, stderr } = await served.try(...args);
        assert.equal(code, 5, `${args.join(' ')}: ${stderr}`);
        assert.match(stderr, /thinfuse .*stop/);
      }
    } finally {
      await daemon.stop('the test is over');
    }
  });
});
