import { readFile } from 'node:fs/promises';
import path from 'node:path';
import * as z from 'zod';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import type { ThinVolume } from './named-devices.js';

/** As `thinfuse export --format dm-thin` writes it; see transfer/export-pool.ts. */
const devicesFile = z.array(
  z.object({
    id: z.number().int().min(0),
    name: z.string().min(1),
    kind: z.enum(['base', 'image', 'container', 'snapshot']),
    origin: z.string().nullable(),
    /** Bytes. */
    size: z.number().int().min(1),
  }),
);

/** A folder that `export --format dm-thin` made. */
export interface ExportedPool {
  readonly metadata: string;
  readonly data: string;
  readonly volumes: readonly ThinVolume[];
}

const ROLES = { base: 'base', image: 'image', container: 'container', snapshot: 'thin' } as const;

/** Undefined: it is another folder. Errors: damaged (its devices.json). */
export async function readExportedPool(folder: string): Promise<ExportedPool | undefined> {
  const text = await textOf(path.join(folder, 'devices.json'));
  if (text === undefined) return undefined;
  const group = path.basename(path.resolve(folder));
  const volumes = parse(text, path.join(folder, 'devices.json')).map(({ id, name, kind, origin, size }) => ({
    deviceId: id,
    name,
    group,
    size,
    origin: origin ?? undefined,
    externalOrigin: undefined,
    role: ROLES[kind],
  }));
  return { metadata: path.join(folder, 'metadata'), data: path.join(folder, 'data'), volumes };
}

function parse(text: string, file: string): z.infer<typeof devicesFile> {
  try {
    return devicesFile.parse(JSON.parse(text));
  } catch (error) {
    throw new ThinError(
      'damaged',
      `${file} is not what export --format dm-thin writes; give only --metadata and --data to read the pool without names`,
      { cause: error, details: { path: file } },
    );
  }
}

async function textOf(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw new ThinError('io', `${file} cannot be read: ${String(error)}`, { cause: error });
  }
}
