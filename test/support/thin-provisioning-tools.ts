import { open, writeFile } from 'node:fs/promises';
import { hasTool, run, tryRun, type Finished, type Scratch } from './mounts.js';

/** Debian's package of the same name, which the kernel's pools are mended with. */
const TOOLS = [
  'thin_dump',
  'thin_restore',
  'thin_check',
  'thin_delta',
  'thin_rmap',
  'thin_ls',
  'thin_metadata_size',
];
/** Room for the metadata of any pool that a test makes. */
const METADATA_BYTES = 8 * 2 ** 20;

/** Call inside `describe`: its tests fail where the package is missing. */
export function requireThinTools(): void {
  before('thin-provisioning-tools are there', async () => {
    const missing: string[] = [];
    for (const tool of TOOLS) if (!(await hasTool(tool))) missing.push(tool);
    if (missing.length > 0)
      throw new Error(`${missing.join(', ')}: install the package thin-provisioning-tools`);
  });
}

export function thinTool(tool: string, ...args: readonly string[]): Promise<Finished> {
  return tryRun(tool, args, { env: withSbin() });
}

/** Standard output; rejects unless it exits with 0. */
export function runThinTool(tool: string, ...args: readonly string[]): Promise<string> {
  return run(tool, args, { env: withSbin() });
}

/** Kernel metadata made by thin_restore of `xml`, which thin_check has found well. Returns the path. */
export async function restoredByThinTools(scratch: Scratch, xml: string): Promise<string> {
  const folder = await scratch.folder('thin-tools');
  const [input, metadata] = [`${folder}/dump.xml`, `${folder}/metadata`];
  await writeFile(input, xml);
  const file = await open(metadata, 'w');
  await file.truncate(METADATA_BYTES);
  await file.close();
  await runThinTool('thin_restore', '-i', input, '-o', metadata);
  await runThinTool('thin_check', metadata);
  return metadata;
}

function withSbin(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
}
