import { mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { SocketClient } from '../../src/api/client.js';
import { pidIn, run } from './host.js';
import { median } from './statistics.js';

const CLI = path.resolve(import.meta.dirname, '../../dist/cli/main.js');
const GIB = 2 ** 30;
const BLOCK = 64 * 1024;
const REPEATS = 21;
const CROWD = 1000;
/** Bytes. */
const NODE = 4096;
/** Blocks whose mappings the daemon reads together. */
const PAGE_BLOCKS = 1024;

interface Figures {
  readonly mapped: string;
  readonly snapshot: number;
  readonly create: number;
  readonly activate: number;
  readonly firstRead: number;
  readonly remove: number;
  readonly reclaim: number;
  /** Bytes a mapped block that activating the device and reading all over it took. */
  readonly memory: number;
}

/**
 * main.ts's sibling for what no machine has the disk for: `restore` maps as much as is asked for in a pool
 * whose data is a sparse file, and then what a device's life takes is measured. large.ts FOLDER GIB...
 */
async function main([folder = '', ...sizes]: readonly string[]): Promise<void> {
  const rows: Figures[] = [];
  for (const size of sizes) rows.push(await within(folder, Number(size), life));
  console.log(table(rows));
  console.log(await within(folder, Number(sizes[0]), crowd));
}

interface Pool {
  readonly client: SocketClient;
  readonly pid: number;
  readonly gib: number;
}

async function within<T>(folder: string, gib: number, work: (pool: Pool) => Promise<T>): Promise<T> {
  const root = path.join(folder, 'root');
  const data = path.join(folder, 'data.img');
  const cli = (...args: readonly string[]): Promise<string> =>
    run(process.execPath, [CLI, '--root', root, ...args]);
  await mkdir(folder, { recursive: true });
  await cli(
    'init',
    ...['--data', data, '--data-size', String(2 * gib * GIB + 64 * GIB)],
    ...['--metadata-size', '15G', '--base-size', String(gib * GIB)],
  );
  try {
    const dump = path.join(folder, 'pool.xml');
    await cli('dump', '-o', dump);
    await writeFile(dump, fullyMapped(await readFile(dump, 'utf8'), (gib * GIB) / BLOCK));
    await cli('restore', '-i', dump, '--replace', '-q');
    await cli('start');
    const pid = pidIn(path.join(root, 'thinfuse.pid')) ?? 0;
    return await work({ client: new SocketClient(path.join(root, 'thinfuse.sock')), pid, gib });
  } finally {
    if (pidIn(path.join(root, 'thinfuse.pid')) !== undefined) await cli('stop', '--force');
    await rm(folder, { recursive: true });
  }
}

/** The base device's mappings give way to one run over all of it. */
function fullyMapped(xml: string, blocks: number): string {
  const run = `    <range_mapping origin_begin="0" data_begin="0" length="${blocks}" time="0"/>\n`;
  return xml
    .replaceAll(/^ *<(?:single|range)_mapping .*\n/gm, '')
    .replace(/mapped_blocks="\d+"/, `mapped_blocks="${blocks}"`)
    .replace('  </device>', `${run}  </device>`);
}

async function life({ client, pid, gib }: Pool): Promise<Figures> {
  const create = (name: string, kind: 'image' | 'container' | 'snapshot', origin: string): Promise<unknown> =>
    client.call('device.create', { name, kind, origin });
  const remove = (name: string): Promise<unknown> => client.call('device.remove', { name });
  const repeat = async (work: (name: string) => Promise<unknown>): Promise<number> => {
    const taken: number[] = [];
    for (let i = 0; i < REPEATS; i++) {
      taken.push(await milliseconds(() => work(`made-${i}`)));
      await remove(`made-${i}`);
      await client.call('pool.settle', {});
    }
    return median(taken) ?? NaN;
  };
  await create('image', 'image', 'base');
  await create('device', 'container', 'image');
  const before = await ownMemory(pid);
  let image = '';
  const activate = await milliseconds(async () => {
    image = (await client.call('activate', { name: 'device' })).path;
  });
  const file = await open(image, 'r');
  const byte = Buffer.alloc(512);
  const firstRead = await milliseconds(() => file.read(byte, 0, 512, Math.floor(gib / 2) * GIB));
  const blocks = (gib * GIB) / BLOCK;
  for (let block = 0; block < blocks; block += PAGE_BLOCKS) await file.read(byte, 0, 512, block * BLOCK);
  const memory = ((await ownMemory(pid)) - before) / blocks;
  await file.close();
  const snapshot = await repeat((name) => create(name, 'snapshot', 'device'));
  const created = await repeat((name) => create(name, 'container', 'image'));
  await client.call('deactivate', { name: 'device' });
  await remove('image');
  // Now the device shares its mappings with the base alone, which has to be walked for none of it.
  const removed = await milliseconds(() => remove('device'));
  const reclaim = await milliseconds(() => client.call('pool.settle', {}));
  return {
    mapped: gib >= 1024 ? `${gib / 1024} TiB` : `${gib} GiB`,
    snapshot,
    create: created,
    activate,
    firstRead,
    remove: removed,
    reclaim,
    memory,
  };
}

async function crowd({ client, pid }: Pool): Promise<string> {
  await client.call('device.create', { name: 'image', kind: 'image', origin: 'base' });
  const before = await client.call('pool.info', {});
  const memory = await ownMemory(pid);
  const taken: number[] = [];
  for (let i = 0; i < CROWD; i++)
    taken.push(
      await milliseconds(() =>
        client.call('device.create', { name: `c${i}`, kind: 'container', origin: 'image' }),
      ),
    );
  const after = await client.call('pool.info', {});
  const nodes = (after.metadataUsed - before.metadataUsed) / NODE;
  const grown = ((await ownMemory(pid)) - memory) / 2 ** 20;
  const [first, last] = [taken.slice(0, 50), taken.slice(-50)].map((some) => median(some)?.toFixed(1));
  return `\n${CROWD} snapshots of one image: ${first} ms each at first, ${last} ms each at last; ${nodes} nodes of metadata, ${grown.toFixed(0)} MiB of memory more.`;
}

function table(rows: readonly Figures[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const ms = (value: number): string => value.toFixed(1);
  return [
    line([
      'mapped',
      'snapshot',
      'create',
      'activate',
      'first read',
      'delete',
      'all given back',
      'bytes of memory a mapped block',
    ]),
    line(['---', '--:', '--:', '--:', '--:', '--:', '--:', '--:']),
    ...rows.map((row) =>
      line([
        row.mapped,
        ...[row.snapshot, row.create, row.activate, row.firstRead, row.remove, row.reclaim].map(ms),
        row.memory.toFixed(1),
      ]),
    ),
  ].join('\n');
}

/** Bytes; without what the kernel may take back, such as LevelDB's tables, which are mapped files. */
async function ownMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^RssAnon:\s*(\d+) kB$/m.exec(status)?.[1]) * 1024;
}

async function milliseconds(action: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await action();
  return performance.now() - start;
}

await main(process.argv.slice(2));
