import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';

const TOP = path.join(import.meta.dirname, '..', '..');

/** From the bottom up; kept apart from eslint.layers.js so that the two have to agree. */
const LAYERS = [
  'errors',
  'config',
  'format',
  'shared',
  'store',
  'btree',
  'metadata',
  'thin-tools',
  'io',
  'pool',
  'fuse',
  'host',
  'transfer',
  'legacy',
  'docker',
  'containerd',
  'volumes',
  'service',
  'testing',
  'daemon',
  'library',
  'manual',
  'commands',
  'cli',
];
const MAY_IMPORT: Record<string, readonly string[]> = {
  host: ['errors', 'config', 'format'],
  transfer: ['errors', 'config', 'format'],
  legacy: ['errors', 'config', 'format', 'io', 'transfer'],
  service: ['errors', 'config', 'format', 'metadata', 'io', 'pool'],
  library: ['errors', 'config', 'format', 'io', 'pool', 'service', 'daemon', 'store', 'testing'],
  testing: ['errors', 'store', 'io', 'fuse'],
};
const SOLE_IMPORTERS: Record<string, string> = {
  'fuse-native': 'src/fuse/fuse-native-transport.ts',
  level: 'src/store/level-store.ts',
  bitfield: 'src/metadata/space-map.ts',
  '@grpc/grpc-js': 'src/daemon/snapshotter/snapshot-server.ts',
  '@grpc/proto-loader': 'src/daemon/snapshotter/snapshot-server.ts',
  'prom-client': 'src/daemon/metrics.ts',
  re2js: 'src/containerd/filters.ts',
};

describe('lint: the layer rule', () => {
  const eslint = new ESLint({
    cwd: TOP,
    // The probes exist nowhere on disk, so nothing that needs types can look at them.
    overrideConfig: [{ files: ['**/*.ts'], ...tseslint.configs.disableTypeChecked }],
  });

  async function rulesBrokenBy(file: string, source: string): Promise<string[]> {
    const [result] = await eslint.lintText(source, { filePath: path.join(TOP, file) });
    assert.ok(result);
    for (const message of result.messages) assert.ok(message.fatal !== true, message.message);
    return result.messages.map((message) => message.ruleId ?? '?');
  }

  it('names every folder below src/', async () => {
    for (const folder of await readdir(path.join(TOP, 'src'))) assert.ok(LAYERS.includes(folder), folder);
  });

  it('closes every layer to those above it, and host and legacy to all but a few', async () => {
    const wrong: string[] = [];
    for (const from of LAYERS) {
      for (const to of LAYERS) {
        const below = LAYERS.indexOf(to) < LAYERS.indexOf(from);
        const open = from === to || (MAY_IMPORT[from]?.includes(to) ?? below);
        for (const inner of ['', 'inner/']) {
          const target = from === to ? `${inner && '.'}./probe.js` : `${inner && '../'}../${to}/probe.js`;
          const broken = await rulesBrokenBy(
            `src/${from}/${inner}no-such-probe.ts`,
            `import type {} from '${target}';\n`,
          );
          if (broken.includes('no-restricted-imports') === open) wrong.push(`${from}/${inner} -> ${to}`);
        }
      }
    }
    assert.deepEqual(wrong, []);
  });

  for (const [name, owner] of Object.entries(SOLE_IMPORTERS)) {
    it(`lets only ${owner} import ${name}`, async () => {
      const source = `import x from '${name}';\nexport const y: unknown = x;\n`;
      assert.ok((await rulesBrokenBy('src/pool/no-such-probe.ts', source)).includes('no-restricted-imports'));
      assert.ok(!(await rulesBrokenBy(owner, source)).includes('no-restricted-imports'));
      assert.match(await readFile(path.join(TOP, owner), 'utf8'), new RegExp(`(from|import\\() ?'${name}'`));
    });
  }

  it('refuses barrels, default exports and files past 500 lines', async () => {
    const probe = 'src/pool/no-such-probe.ts';
    assert.ok((await rulesBrokenBy(probe, "export * from './info.js';\n")).includes('no-restricted-syntax'));
    assert.ok((await rulesBrokenBy(probe, 'export default 1;\n')).includes('no-restricted-syntax'));
    assert.ok((await rulesBrokenBy(probe, '// line\n'.repeat(501))).includes('max-lines'));
  });

  it('finds only kebab-case file names', async () => {
    const files = [...(await sources('src')), ...(await sources('test'))];
    assert.ok(files.length > 0);
    const odd = files.filter((file) => !/^[a-z0-9]+(-[a-z0-9]+)*(\.test)?\.ts$/.test(path.basename(file)));
    assert.deepEqual(odd, []);
  });
});

async function sources(folder: string): Promise<string[]> {
  const names = await readdir(path.join(TOP, folder), { recursive: true }).catch(() => []);
  return names.filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'));
}
