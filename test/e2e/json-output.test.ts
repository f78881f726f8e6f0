import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { buildProgram } from '../../src/cli/program.js';
import { commandTree, leaves } from '../../src/manual/command-tree.js';
import { OUTPUTS, outputDocument, outputSchema, WITHOUT_OUTPUT } from '../../src/outputs/outputs.js';
import { Cli } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { requireMounts, run, tryRun, useScratch } from '../support/mounts.js';
import { restoreMetadata } from '../support/old-pool.js';
import { startRegistry, type RunningRegistry } from '../support/registry.js';

type Output = keyof typeof OUTPUTS;

/** Their shape is that of another command, and they end only when they are told to, or need an S3. */
const NOT_RUN: readonly Output[] = ['top', 'remote gc'];

describe('end to end: what --json prints', function () {
  this.timeout(600_000);
  requireMounts(['mkfs.xfs', 'thin_restore', 'qemu-img', 'fuser']);
  const scratch = useScratch();
  const seen = new Set<Output>();
  let ajv: Ajv2020;
  let published: Ajv2020;
  let cli: Cli;
  let other: Cli;
  let registry: RunningRegistry | undefined;

  before(async () => {
    registry = await startRegistry();
    // Patterns say what the formats do.
    ajv = new Ajv2020({ strict: false, validateFormats: false });
    published = new Ajv2020({ strict: false, validateFormats: false });
    published.addSchema(outputDocument(), 'published');
    cli = new Cli(scratch.current);
    other = new Cli(scratch.current, 'other');
  });
  after(() => registry?.stop());

  /** By the schema of the command, which has every key, and by the one that scripts have. */
  function validate(command: Output, text: string): unknown {
    const value: unknown = JSON.parse(text);
    const closed = ajv.compile(outputSchema(OUTPUTS[command], { closed: true }));
    const open = published.getSchema(`published#/$defs/${command.replaceAll(' ', '-')}`)!;
    for (const check of [closed, open] as readonly ValidateFunction[])
      assert.ok(check(value), `${command}: ${ajv.errorsText(check.errors)}\n${text.slice(0, 2000)}`);
    seen.add(command);
    return value;
  }

  /** Arguments after the command's words. */
  async function runs(command: Output, ...args: readonly string[]): Promise<unknown> {
    return validate(command, await cli.run('--json', ...command.split(' '), ...args));
  }

  async function fails(code: number, ...args: readonly string[]): Promise<Record<string, unknown>> {
    const { code: ended, stderr } = await cli.try('--json', ...args);
    assert.equal(ended, code, stderr);
    const { error } = validate('error', stderr) as { error: { details: Record<string, unknown> } };
    return error.details;
  }

  it('says of a pool and of devices what its schemas say', async () => {
    const at = (name: string): string => scratch.current.at(name);
    const from = await scratch.current.folder('from');
    await writeFile(`${from}/file`, 'text');
    await fails(3, 'status');
    await runs('init', '--base-size', '320M', '--data-size', '2G');
    await fails(11, 'mount', 'base');
    await runs('start');
    await runs('status');
    await runs('status', '--dm');
    await runs('image create', 'img', '--from', from);
    await runs('container create', 'web', '--image', 'img');
    await runs('mount', 'web');
    await runs('snapshot', 'early', 'web');
    await runs('clone', 'img', 'c1', 'c2');
    await runs('mount', 'c1', 'c2');
    await writeFile(`${cli.root}/mnt/web/rootfs/more`, 'text');
    await runs('diff', 'web');
    await runs('trim', '--all');
    await runs('activate', 'early');
    await runs('deactivate', 'early');
    await runs('umount', 'c1');
    await runs('umount', 'c2');
    await runs('rename', 'c1', 'c3');
    await runs('grow', 'c3', '+100M');
    await runs('quota', 'c3', '300M');
    await runs('limit', 'c3', '200M');
    await runs('automount', 'c3', '--on');
    await runs('label', 'c3', 'team=db');
    await runs('rollback', 'c3', 'early');
    await runs('container commit', 'web', 'img2');
    await runs('device create', 'blank', '--size', '20M');
    await writeFile(at('disk.img'), Buffer.alloc(1 << 20, 3));
    await runs('import', 'disk', at('disk.img'));
    await runs('ls');
    await runs('ls', '-q');
    const columns = 'name,mapped,size,size_bytes,created,labels,mountpoint,transaction,highest_block';
    const [row] = (await runs('ls', 'c3', '-o', columns)) as Record<string, unknown>[];
    assert.equal(row!['SIZE'], row!['SIZE_BYTES'], 'both are bytes');
    assert.deepEqual([row!['LABELS'], row!['MOUNTPOINT']], [{ team: 'db' }, null]);
    await runs('image ls');
    await runs('container ls');
    await runs('tree');
    await runs('df');
    await runs('lsblk');
    await runs('info');
    await runs('iostat');
    await runs('metrics');
    await runs('ui');
    await runs('get');
    assert.deepEqual(await runs('get', 'min_free_space'), { min_free_space: 10 });
    await runs('set', 'cache-size=64M', 'low_water_mark=1G');
    await runs('extend', '+1G');
    await runs('rm', '-n', 'c3');
    await runs('rm', 'c3');
    await runs('image rm', 'img2');
    await runs('container rm', 'c2');
    await runs('wait');
    for (const line of (await cli.run('--json', 'events', '--past')).trim().split('\n'))
      validate('events', line);
    assert.deepEqual(await fails(3, 'mount', 'wbe'), { device: 'wbe', suggestion: 'web' });
    assert.deepEqual(await fails(2, 'snpa'), { suggestion: 'snap' });
    assert.deepEqual(await fails(3, 'ls', 'ealry'), { device: 'ealry', suggestion: 'early' });
  });

  it('says of metadata, of what goes in and out, and of the end', async function () {
    const at = (name: string): string => scratch.current.at(name);
    await runs('check');
    await runs('scrub');
    await runs('doctor');
    await runs('doctor', '--host');
    const { id } = (await runs('reserve')) as { id: number };
    await runs('reserved');
    await runs('release', String(id));
    await runs('dump', '-o', at('pool.xml'));
    await runs('delta', 'img', 'web');
    await runs('rmap', '--region', '0..20');
    await runs('metadata-size', '-b', '64k', '-s', '1g', '-m', '10');
    await runs('export', 'web', '--format', 'raw', '-o', at('web.raw'));
    await runs('export', 'web', '--format', 'tar', '-o', at('web.tar'));
    await runs('export', '--format', 'dm-thin', '-o', at('kernel'));
    if (registry !== undefined) {
      const url = `oci://${registry.host}/devices/early:one`;
      await runs('push', 'early', url);
      await runs('remote ls', url.replace(/:one$/, ''));
      await runs('remote check', url);
      await runs('pull', url, 'pulled');
      await runs('hydrate', 'pulled');
      await runs('remote rm', url);
    }
    const stream = at('stream');
    await run('bash', ['-c', `"$@" >${stream}`, 'bash', ...cli.command('send', 'early')]);
    await runs('stop');
    const { transactionId } = (await runs('check')) as { transactionId: number };
    await runs('set-transaction-id', String(transactionId), String(transactionId + 1));
    await other.run('init', '--base-size', '320M', '--data-size', '2G');
    const received = await tryRun('bash', [
      '-c',
      `"$@" <${stream}`,
      'bash',
      ...other.command('--json', 'receive'),
    ]);
    validate('receive', received.stdout);
    validate('destroy', await other.run('--json', 'destroy', '--yes'));
    await runs('repair', '--output', at('repaired'));
    await runs('repair', '--accept-older');
    await runs('restore', '-i', at('pool.xml'), '--replace');
    await cli.run('check', '--auto-repair');
    await runs('start', '--supervised');
    await runs('restart');
    await cli.run('stop');
  });

  it('says of old pools', async () => {
    const at = (name: string): string => scratch.current.at(name);
    const xml = await cli.run('dump', '--plain');
    await restoreMetadata(await written(at('plain.xml'), xml), at('meta'));
    const kernel = ['--metadata', at('meta')];
    await runs('check', ...kernel);
    await runs('ls', ...kernel);
    await runs('dump', ...kernel, '-o', at('kernel.xml'));
    await runs('rmap', ...kernel, '--region', '0..20');
    await runs('metadata-pack', '-i', at('meta'), '-o', at('packed'));
    await runs('metadata-unpack', '-i', at('packed'), '-o', at('unpacked'));
    await writeFile(at('repaired-meta'), Buffer.alloc(16 << 20));
    await runs('repair', ...kernel, '--output', at('repaired-meta'));

    await run('truncate', ['-s', '4G', at('old-data')]);
    const source = [...kernel, '--data', at('old-data')];
    await runs('legacy ls', ...source);
    await runs('legacy info', ...source);
    await runs('legacy export', ...source, '2', '-o', at('two'));
    await runs('legacy import', ...source, '2', '--name', 'two');
    await mkdir(at('mounted'));
    await runs('legacy mount', ...source, '--image', '2', at('mounted'));
    await run('umount', [at('mounted')]);
    await eventually(
      'the helper is gone',
      async () => (await tryRun('fuser', [at('meta')])).stdout.trim() === '',
    );
  });

  it('has a schema of every command, and every schema was compared with what is printed', async () => {
    const commands = leaves(commandTree(await buildProgram())).map(({ path }) => path.join(' '));
    const known: readonly string[] = [...Object.keys(OUTPUTS), ...WITHOUT_OUTPUT];
    assert.deepEqual(
      commands.filter((command) => !known.includes(command)),
      [],
    );
    const remote = (command: string): boolean => /^(push|pull|hydrate|remote )/.test(command);
    const left = (Object.keys(OUTPUTS) as Output[]).filter(
      (command) => !seen.has(command) && (registry !== undefined || !remote(command)),
    );
    assert.deepEqual(left.sort(), [...NOT_RUN, 'discard', 'shrink'].sort());
  });

  async function written(file: string, text: string): Promise<string> {
    await writeFile(file, text);
    return file;
  }
});
