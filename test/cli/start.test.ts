import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { build, type Metafile } from 'esbuild';

const manifest = JSON.parse(readFileSync('package.json', 'utf8')) as {
  readonly dependencies: Readonly<Record<string, string>>;
};

describe('what a command loads before it runs', () => {
  let inputs: Metafile['inputs'];

  before(async () => {
    const { metafile } = await build({
      entryPoints: ['src/cli/main.ts'],
      outdir: 'nowhere',
      write: false,
      bundle: true,
      splitting: true,
      format: 'esm',
      platform: 'node',
      packages: 'external',
      metafile: true,
    });
    ({ inputs } = metafile);
  });

  /** What `file` imports, and what that imports, unless it is loaded where it is used. */
  function loadedWith(file: string): ReadonlySet<string> {
    const found = new Set<string>();
    const follow = (each: string): void => {
      if (found.has(each)) return;
      found.add(each);
      for (const { path, kind } of inputs[each]?.imports ?? []) if (kind === 'import-statement') follow(path);
    };
    follow(file);
    return found;
  }

  // Each takes longer to load than many commands to run: a schema was once in the way of all of them.
  for (const file of [
    'src/cli/run.ts',
    'src/commands/legacy/command.ts',
    'src/commands/kernel/list.ts',
    'src/legacy/device-list.ts',
    'src/legacy/open-source.ts',
  ])
    it(`is for ${file} neither zod nor http`, () => {
      const loaded = loadedWith(file);
      assert(loaded.size > 1, `${file} is not there`);
      assert(Object.hasOwn(manifest.dependencies, 'zod'));
      for (const slow of ['zod', 'node:http', 'level', 'fuse-native'])
        assert(!loaded.has(slow), `${file} leads to ${slow}`);
    });
});
