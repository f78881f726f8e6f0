import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { ESLint } from 'eslint';
import tseslint from 'typescript-eslint';
import { LAYERS as LAYER_TABLE, PACKAGES as PACKAGE_TABLE } from '../../eslint.layers.js';

const TOP = path.join(import.meta.dirname, '..', '..');

const LAYERS: Readonly<Record<string, { readonly imports: readonly string[] }>> = LAYER_TABLE;
const PACKAGES: Readonly<Record<string, readonly string[]>> = PACKAGE_TABLE;
const NAMES = Object.keys(LAYERS);

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

  it('names every folder below src/, and lets none import what stands above it', async () => {
    assert.deepEqual((await readdir(path.join(TOP, 'src'))).sort(), NAMES.toSorted());
    for (const [index, name] of NAMES.entries())
      for (const below of LAYERS[name]!.imports)
        assert.ok(NAMES.slice(0, index).includes(below), `${name} -> ${below}`);
  });

  it('names no pair that nothing needs', async () => {
    const unused: string[] = [];
    for (const name of NAMES) {
      const texts = await Promise.all(
        (await sources(`src/${name}`)).map((file) => readFile(path.join(TOP, 'src', name, file), 'utf8')),
      );
      for (const below of LAYERS[name]!.imports)
        if (!texts.some((text) => new RegExp(`'(\\.\\./)+${below}/`).test(text)))
          unused.push(`${name} -> ${below}`);
    }
    assert.deepEqual(unused, []);
  });

  it('closes every layer to all but those of its row, from its own folder and from one below', async () => {
    const wrong: string[] = [];
    for (const from of NAMES)
      for (const inner of ['', 'inner/']) {
        const others = NAMES.filter((to) => to !== from);
        const probes = others.map((to) => `import type {} from '${inner && '../'}../${to}/probe.js';\n`);
        const [result] = await eslint.lintText(probes.join(''), {
          filePath: path.join(TOP, `src/${from}/${inner}no-such-probe.ts`),
        });
        const closed = new Set(result!.messages.map(({ line }) => others[line - 1]));
        for (const to of others)
          if (closed.has(to) === LAYERS[from]!.imports.includes(to)) wrong.push(`${from}/${inner} -> ${to}`);
      }
    assert.deepEqual(wrong, []);
  });

  it('names the importers of every package, and none besides them', async () => {
    const { dependencies, optionalDependencies, peerDependencies } = JSON.parse(
      await readFile(path.join(TOP, 'package.json'), 'utf8'),
    ) as Record<string, Record<string, string>>;
    const packages = { ...dependencies, ...optionalDependencies, ...peerDependencies };
    assert.deepEqual(Object.keys(PACKAGES).sort(), Object.keys(packages).sort());
    for (const [name, importers] of Object.entries(PACKAGES)) {
      const source = `import x from '${name}';\nexport const y: unknown = x;\n`;
      assert.ok(
        (await rulesBrokenBy('src/threads/no-such-probe.ts', source)).includes('no-restricted-imports'),
      );
      for (const importer of importers) {
        const file = importer.endsWith('.ts') ? importer : `${importer}/no-such-probe.ts`;
        assert.ok(
          !(await rulesBrokenBy(file, source)).includes('no-restricted-imports'),
          `${importer} -> ${name}`,
        );
        const files = importer.endsWith('.ts') ? [''] : (await sources(importer)).map((each) => `/${each}`);
        const texts = await Promise.all(
          files.map((each) => readFile(path.join(TOP, `${importer}${each}`), 'utf8')),
        );
        assert.ok(
          texts.some((text) => new RegExp(`(from|import\\() ?'${name}'`).test(text)),
          `${importer} imports ${name}`,
        );
      }
    }
  });

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
