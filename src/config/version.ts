import { readFileSync } from 'node:fs';
import { z } from 'zod';

const manifest = z.object({ version: z.string(), engines: z.object({ node: z.string() }) });

/** This program's own; package.json lies two folders up from src/config and from dist/config. */
export function version(): string {
  return readManifest().version;
}

/** The oldest Node.js that this program runs on, as `20.19`. */
export function nodeNeeded(): string {
  return readManifest().engines.node.replace(/^>=/, '');
}

function readManifest(): z.infer<typeof manifest> {
  return manifest.parse(JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')));
}
