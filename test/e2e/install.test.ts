import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { build as bundle } from 'esbuild';
import { BUILT, Cli } from '../support/cli.js';
import { OWN_MOUNTS } from '../support/mount-namespace.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';

const TOP = path.resolve(import.meta.dirname, '../..');

/** As `prepack` does, but for the types, which the suite has looked at already. */
async function build(): Promise<void> {
  const entry = path.join(TOP, 'dist/cli/main.js');
  await run(path.join(TOP, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json', '--noCheck'], {
    cwd: TOP,
  });
  await run(process.execPath, [path.join(TOP, 'scripts/bundle.js')], { cwd: TOP });
  await run(process.execPath, [entry, 'manual', '--output', path.join(TOP, 'dist/man/thinfuse.8')]);
}

/**
 * A copy of the mounts that keeps none of them busy: no libfuse 2 where npm loads `fuse-native` to see
 * whether it fits.
 */
const WITHOUT_LIBFUSE = `
ldconfig -p | sed -n 's/.*libfuse\\.so\\.2.* => //p' | while read -r library; do mount --bind "$(mktemp)" "$library"; done
exec "$@"`;

/** In their order. */
async function programsOfApi(): Promise<readonly string[]> {
  const text = await readFile(path.join(TOP, 'docs/api.md'), 'utf8');
  return [...text.matchAll(/^```js\n(.*?)^```$/gms)].map(([, program]) => program!);
}

describe('end to end: packed and installed', function () {
  this.timeout(300_000);
  requireMounts(['npm', 'unshare', 'mkfs.xfs']);
  const scratch = useScratch();
  let prefix: string;
  let cli: Cli;

  before('npm pack, and npm install --global of what it made', async () => {
    prefix = scratch.current.at('prefix');
    // What other tests run at this moment is not written again below them.
    if (BUILT === undefined) await build();
    const pack = ['pack', '--json', '--ignore-scripts', '--pack-destination', scratch.current.root];
    const packed = await run('npm', pack, { cwd: TOP });
    const name = /[\w.-]+\.tgz/.exec(packed)?.[0] ?? '';
    const install = ['npm', 'install', '--global', '--prefer-offline', '--prefix', prefix];
    await run(
      'unshare',
      [...OWN_MOUNTS, 'sh', '-c', WITHOUT_LIBFUSE, 'sh', ...install, scratch.current.at(name)],
      {
        cwd: scratch.current.root,
        limitMs: 200_000,
        env: {
          ...process.env,
          // Newer ones run no scripts of packages that are not named.
          npm_config_allow_scripts: 'classic-level,fuse-native',
          CC: '/bin/false',
          CXX: '/bin/false',
          MAKE: '/bin/false',
        },
      },
    );
    cli = new Cli(scratch.current, 'root', [path.join(prefix, 'bin/thinfuse')]);
    const modules = scratch.current.at('node_modules');
    await mkdir(modules);
    await symlink(path.join(prefix, 'lib/node_modules/thinfuse'), path.join(modules, 'thinfuse'));
  });

  it('has every thread that it starts', async () => {
    const started: string[] = [];
    for (const file of await readdir(path.join(TOP, 'src'), { recursive: true }))
      if (file.endsWith('.ts')) {
        const text = await readFile(path.join(TOP, 'src', file), 'utf8');
        for (const [, name = ''] of text.matchAll(/startThread\(import\.meta\.url, '([\w-]+)'/g))
          started.push(`${name}.js`);
      }
    assert(started.length >= 5, started.join(' '));
    const there = await readdir(path.join(prefix, 'lib/node_modules/thinfuse/dist/cli'));
    assert.deepEqual(
      started.filter((name) => !there.includes(name)),
      [],
    );
  });

  it('needs no compiler and knows its version', async () => {
    const { version } = JSON.parse(await readFile(path.join(TOP, 'package.json'), 'utf8')) as {
      version: string;
    };
    assert.equal(await cli.run('--version'), `${version}\n`);
  });

  it('brings its man page', async () => {
    const page = await readFile(path.join(prefix, 'share/man/man8/thinfuse.8'), 'utf8');
    assert.match(page, /^\.Ss container create$/m);
  });

  it('serves a pool, with the threads of the kernel transport', async () => {
    await cli.run('init', '--base-size', '320M', '--data-size', '1G');
    await cli.run('start');
    assert.match(await cli.run('status'), /^transport: kernel$/m);
    await cli.run('snapshot', 'web', 'base');
    const folder = (await cli.run('mount', 'web')).trim();
    await run('sh', ['-c', 'echo hello >"$1/file" && sync --file-system "$1"', 'sh', folder]);
    await cli.run('umount', 'web');
    await cli.run('stop');
    assert.equal((await cli.json<{ ok: boolean }>('check')).ok, true);
  });

  it('runs the programs of docs/api.md as they are printed, and lets nobody import what is private', async () => {
    const [inProcess, throughDaemon, failing] = await programsOfApi();
    const { root } = scratch.current;
    const execute = async (name: string, program: string): Promise<string> => {
      const file = scratch.current.at(name);
      await writeFile(file, program);
      return run(process.execPath, [file], { cwd: root });
    };
    const own = scratch.current.at('own-pool');
    assert.equal(
      await execute('pool.mjs', inProcess!.replaceAll('/tmp/thinfuse-example', own)),
      'HELLO\nhello\n0 65536\nbase 0\ndisk 65536\nmonday 65536\ndisk 65536\n',
    );
    await cli.run('rm', 'web');
    await cli.run('image', 'create', 'debian');
    await cli.run('start');
    const here = (program: string): string =>
      program
        .replace('connect()', `connect('${cli.root}')`)
        .replace('/tmp/thinfuse-example.tar', scratch.current.at('web.tar'));
    assert.match(
      await execute('client.mjs', here(throughDaemon!)),
      /^base base \d+ not mounted\n(.*\n)*the files are in .*\/mnt\/web\/rootfs\n$/,
    );
    assert.match(await run('tar', ['-tf', scratch.current.at('web.tar')]), /^\.\/$/m);
    await cli.run('stop');
    await execute('failing.mjs', here(failing!));
    for (const inside of ['thinfuse/dist/pool/pool.js', 'thinfuse/dist/cli/main.js'])
      await assert.rejects(execute('private.mjs', `import '${inside}';`), /ERR_PACKAGE_PATH_NOT_EXPORTED/);
  });

  it("runs the contract suites as docs/api.md prints them, with a store and a transport of one's own", async () => {
    const [, , , store, transport] = await programsOfApi();
    const installed = path.join(prefix, 'lib/node_modules');
    const { root } = scratch.current;
    const modules = path.join(TOP, 'node_modules');
    await symlink(path.join(modules, 'fast-check'), path.join(installed, 'fast-check'));
    // Of the store that is tested.
    await symlink(path.join(modules, 'sorted-btree'), path.join(root, 'node_modules/sorted-btree'));
    await writeFile(path.join(root, 'package.json'), '{ "type": "module" }');
    await bundle({
      absWorkingDir: TOP,
      bundle: true,
      format: 'esm',
      platform: 'node',
      logLevel: 'warning',
      stdin: {
        contents: `import { MemoryStore } from './test/support/memory-store.ts';
export const openMyStore = async () => new MemoryStore();`,
        resolveDir: TOP,
      },
      outfile: path.join(root, 'my-store.js'),
    });
    const ours = path.join(installed, 'thinfuse/dist/fuse/kernel-transport.js');
    await writeFile(
      path.join(root, 'my-transport.js'),
      `export { KernelTransport as MyTransport } from '${ours}';\n`,
    );
    for (const [name, program] of Object.entries({ store, transport })) {
      const file = path.join(root, `${name}.test.js`);
      await writeFile(file, program!);
      const told = await run(process.execPath, ['--test', file], { cwd: root, limitMs: 120_000 });
      const [, passed] = /^# pass (\d+)$/m.exec(told) ?? [];
      assert(Number(passed) >= 8, told);
    }
  });

  it('ships types that a strict compiler takes', async () => {
    const { root } = scratch.current;
    await writeFile(
      scratch.current.at('typed.mts'),
      `import { openPool, type Device, ThinError } from 'thinfuse';
import { connect, type DeviceStatus } from 'thinfuse/client';
export async function mapped(root: string): Promise<number> {
  const devices: readonly DeviceStatus[] = await (await connect(root)).devices();
  return devices.reduce((sum, device) => sum + device.mapped, 0);
}
export async function first(root: string): Promise<Uint8Array | undefined> {
  try {
    const device: Device = (await openPool(root)).device('web');
    return await device.read(0, 512);
  } catch (error) {
    if (error instanceof ThinError && error.code === 'not-found') return undefined;
    throw error;
  }
}
// @ts-expect-error a size is a number
await (await openPool('x')).create('y', { size: '1G' });
`,
    );
    const strict = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2022', '--lib', 'es2023'];
    const types = ['--typeRoots', path.join(TOP, 'node_modules/@types'), '--types', 'node'];
    const compiler = path.join(TOP, 'node_modules/typescript/bin/tsc');
    await run(process.execPath, [compiler, ...strict, ...types, 'typed.mts'], { cwd: root });
  });

  it('says what the other transport lacks', async () => {
    const { code, stderr } = await cli.try('start', '--transport', 'fuse-native');
    assert.equal(code, 8);
    assert.match(stderr, /fuse-native does not load .* choose the kernel transport/);
  });
});
