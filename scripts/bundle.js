// What the command line is installed as: its modules and the packages that every command needs in a few files
// of dist/cli, for a command starts in the time that its files take to be found and read. What a command
// alone needs is a file of its own, loaded when it runs. The library stays as tsc made it.
import { build } from 'esbuild';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);
const top = path.resolve(import.meta.dirname, '..');
const { dependencies, optionalDependencies } = JSON.parse(
  readFileSync(path.join(top, 'package.json'), 'utf8'),
);
/** Packages that are code and nothing else: no binary, no file that they look for beside themselves. */
const BUNDLED = new Set([
  'async-lock',
  'aws4fetch',
  'bitfield',
  'cli-progress',
  'commander',
  'fastest-levenshtein',
  'lru-cache',
  'prom-client',
  're2js',
  'saxes',
  'zod',
]);

/**
 * CommonJS that every command needs. Node.js parses it for its names where it is imported, which takes longer
 * than many a command. For the same reason commander loads node:child_process, and with it the network's
 * modules, only where it starts a command that is a program of its own.
 */
const REQUIRED = /^@node-rs\/crc32$/;

const options = {
  absWorkingDir: top,
  outdir: 'dist/cli',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node20.19',
  // Names stay, for those who read a stack trace.
  minify: false,
  external: Object.keys({ ...dependencies, ...optionalDependencies }).filter((name) => !BUNDLED.has(name)),
  banner: {
    // For packages that are CommonJS.
    js: "import { createRequire as requireFrom } from 'node:module'; const require = requireFrom(import.meta.url);",
  },
  plugins: [
    {
      name: 'required',
      setup(bundle) {
        bundle.onResolve({ filter: REQUIRED }, ({ path: name, kind }) =>
          kind === 'require-call' ? { path: name, external: true } : { path: name, namespace: 'required' },
        );
        bundle.onResolve({ filter: /^node:child_process$/ }, ({ path: name, importer }) =>
          importer.includes('node_modules/commander/') ? { path: name, namespace: 'late' } : undefined,
        );
        bundle.onLoad({ filter: /^/, namespace: 'late' }, ({ path: name }) => ({
          contents: `exports.spawn = (...args) => require('${name}').spawn(...args);`,
        }));
        bundle.onLoad({ filter: REQUIRED, namespace: 'required' }, ({ path: name }) => ({
          contents: `export const { ${Object.keys(require(name)).join(', ')} } = require('${name}');`,
          resolveDir: top,
        }));
      },
    },
  ],
  legalComments: 'linked',
  logLevel: 'warning',
};
const named = (files) => files.map((file) => ({ in: file, out: path.basename(file, '.ts') }));

rmSync(path.join(top, 'dist/cli'), { recursive: true, force: true });
// Threads and processes of ours, which are started from a file beside the one that asks. They are found by
// their names, for one that is missing fails only when it is started.
const startedApart = readdirSync(path.join(top, 'src'), { recursive: true })
  .filter((file) => /-(thread|server-entry)\.ts$/.test(file) && !file.startsWith('threads'))
  .map((file) => path.join('src', file));
await build({ ...options, entryPoints: named(startedApart) });
await build({
  ...options,
  entryPoints: named(['src/cli/main.ts']),
  // Each file has what the same other files import, so that few modules would share one. What every part of
  // the program imports is one file: the whole of what an everyday command runs.
  inject: ['src/cli/run.ts'],
});
