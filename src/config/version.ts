import { readFileSync } from 'node:fs';

interface Manifest {
  readonly version: string;
  readonly engines: { readonly node: string };
}

/**
 * This program's own; package.json lies two folders up from src/config, dist/config and the bundle's
 * dist/cli.
 */
export function version(): string {
  return readManifest().version;
}

/** The oldest Node.js that this program runs on, as `20.19`. */
export function nodeNeeded(): string {
  return readManifest().engines.node.replace(/^>=/, '');
}

/** Whether this program runs on that Node.js. @param node as `20.19.0` */
export function isNodeEnough(node = process.versions.node): boolean {
  const [has, needs] = [node, nodeNeeded()].map((each) => each.split('.').map(Number));
  // Not by localeCompare: every command would load the rules of a language.
  const at = needs!.findIndex((number, index) => number !== has![index]);
  return at === -1 || has![at]! > needs![at]!;
}

/** Every command reads it, so nothing is loaded to look at our own file. */
function readManifest(): Manifest {
  return JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as Manifest;
}
