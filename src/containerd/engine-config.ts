import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse } from 'smol-toml';
import { ThinError, systemErrorCode } from '../errors/thin-error.js';

/** A containerd's config.toml with what it imports, each name as the last file has it. */
export interface EngineConfig {
  /** Absolute, in the order in which containerd reads them. */
  readonly files: readonly string[];
  /** Undefined: not written, which containerd takes for 1. */
  readonly version: number | undefined;
  readonly proxyPlugins: Readonly<Record<string, Settings>>;
  readonly plugins: Readonly<Record<string, Settings>>;
  readonly disabled: readonly string[];
}

/** A table of TOML. */
export type Settings = Readonly<Record<string, unknown>>;

/** Imports may import, and in a circle. */
const MOST_FILES = 100;

/** Errors: not-found, invalid-argument (no TOML), io. */
export async function readEngineConfig(file: string): Promise<EngineConfig> {
  const files: string[] = [];
  const tables: Settings[] = [];
  const waiting = [path.resolve(file)];
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (files.includes(next) || files.length === MOST_FILES) continue;
    const table = await readToml(next);
    files.push(next);
    tables.push(table);
    for (const imported of texts(table['imports']))
      waiting.push(...(await matching(path.dirname(next), imported)));
  }
  const merged = (name: string): Readonly<Record<string, Settings>> =>
    Object.assign({}, ...tables.map((table) => tablesIn(table[name]))) as Record<string, Settings>;
  const versions = tables.map(({ version }) => version).filter((version) => typeof version === 'number');
  return {
    files,
    version: versions[0],
    proxyPlugins: merged('proxy_plugins'),
    plugins: merged('plugins'),
    disabled: tables.flatMap((table) => texts(table['disabled_plugins'])),
  };
}

/** The table that is at these keys; empty where there is none. */
export function settingsAt(table: Settings, ...keys: readonly string[]): Settings {
  let found: unknown = table;
  for (const key of keys) found = isTable(found) && Object.hasOwn(found, key) ? found[key] : undefined;
  return isTable(found) ? found : {};
}

/** The strings of an array; of anything else none. */
export function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
}

export function isTable(value: unknown): value is Settings {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function tablesIn(value: unknown): Record<string, Settings> {
  if (!isTable(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, Settings] => isTable(entry[1])),
  );
}

async function readToml(file: string): Promise<Settings> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT')
      throw new ThinError(
        'not-found',
        `there is no ${file}; name containerd's file: doctor --containerd FILE`,
      );
    throw new ThinError('io', `${file} cannot be read: ${String(error)}`, { cause: error });
  }
  try {
    return parse(text);
  } catch (error) {
    // The first line has what is wrong; the others show the place.
    const [what = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new ThinError('invalid-argument', `${file} is no TOML: ${what}`, { cause: error });
  }
}

/** A file, or those that a last name with * and ? fits. */
async function matching(folder: string, pattern: string): Promise<readonly string[]> {
  const full = path.resolve(folder, pattern);
  const name = path.basename(full);
  if (!/[*?]/.test(name)) return [full];
  const fits = new RegExp(
    `^${name
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
  );
  const names = await readdir(path.dirname(full)).catch(() => []);
  return names
    .filter((each) => fits.test(each))
    .sort()
    .map((each) => path.join(path.dirname(full), each));
}
