import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { METADATA_BLOCK, sealBlock, type BlockKind } from '../../src/legacy/disk-block.js';
import { LegacyPool } from '../../src/legacy/legacy-pool.js';
import { surveyDamage } from '../../src/legacy/survey.js';
import { thinCheck } from '../../src/legacy/tools/thin-check.js';
import { thinDeltaText } from '../../src/legacy/tools/thin-delta.js';
import { thinDumpText } from '../../src/legacy/tools/thin-dump.js';
import { thinLs } from '../../src/legacy/tools/thin-ls.js';
import { thinRmap } from '../../src/legacy/tools/thin-rmap.js';
import { ToolFault } from '../../src/legacy/tools/tool-blocks.js';
import { ToolMetadata } from '../../src/legacy/tools/tool-metadata.js';
import { rmapLines } from '../../src/thin-tools/rmap-text.js';
import { randomOf, sharingMetadata, usedBlocks } from '../support/hurt-metadata.js';
import { shareRoot } from '../support/legacy-dump.js';
import { MemoryBlocks } from '../support/legacy-metadata.js';
import { useScratch, type Finished } from '../support/mounts.js';
import { requireThinTools, thinTool } from '../support/thin-provisioning-tools.js';

/** The long form: scripts/thin-tools.sh. */
const ROUNDS = Number(process.env['THINFUSE_CHECK_ROUNDS'] ?? 8);
/** Files of metadata that a kernel wrote, with colons between. */
const KERNELS = (process.env['THINFUSE_CHECK_METADATA'] ?? '').split(':').filter((file) => file !== '');
const FIELDS = 'DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS,TRANSACTION,CREATE_TIME,SNAP_TIME';

interface Told {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface Output {
  readonly code?: number;
  readonly stdout: string;
  readonly stderr?: string;
}

/** Each tool of thin-provisioning-tools, and what stands for it. */
const TOOLS: readonly {
  readonly tool: readonly string[];
  readonly ours: (blocks: MemoryBlocks) => Output | Promise<Output>;
}[] = [
  { tool: ['thin_check'], ours: (blocks) => checked(blocks, 'all') },
  { tool: ['thin_check', '--skip-mappings'], ours: (blocks) => checked(blocks, 'records') },
  { tool: ['thin_check', '--ignore-non-fatal-errors'], ours: (blocks) => checked(blocks, 'all', true) },
  { tool: ['thin_dump'], ours: (blocks) => dumped(blocks) },
  {
    tool: ['thin_ls', '--no-headers', '-o', FIELDS],
    ours: (blocks) => ({ stdout: listed(ToolMetadata.open(blocks, false)) }),
  },
  {
    tool: ['thin_delta', '--thin1', '1', '--thin2', '2', '--verbose'],
    ours: async (blocks) => {
      const options = { format: 'verbose', changesOnly: false } as const;
      let stdout = '';
      for await (const piece of thinDeltaText(ToolMetadata.open(blocks, false), 1, 2, options))
        stdout += piece;
      return { stdout };
    },
  },
  {
    tool: ['thin_rmap', '--region', '0..1999'],
    ours: (blocks) => ({
      stdout: rmapLines(thinRmap(ToolMetadata.open(blocks, false), [{ begin: 0, end: 1999 }])),
    }),
  },
];

describe('legacy: what thin-provisioning-tools 0.9 say', function () {
  this.timeout(7_200_000);
  requireThinTools();
  const scratch = useScratch();

  for (const shared of [false, true])
    it(`of metadata that is hurt at random, with ${shared ? 'nodes that devices share' : 'nodes of its own for each device'}`, async () => {
      const whole = await sharingMetadata(scratch.current, 1);
      if (shared) shareRoot(whole, 1, 2);
      const { differ, damaged } = await compareHurt(whole, Number(shared));
      assert.deepEqual(differ.slice(0, 20), []);
      assert.ok(damaged > ROUNDS / 4, `${damaged} runs of ${ROUNDS} rounds met damage`);
    });

  for (const [index, kernels] of KERNELS.entries())
    it(`of ${kernels}, hurt at random`, async () => {
      const { differ } = await compareHurt(await readFile(kernels), 2 + index);
      assert.deepEqual(differ.slice(0, 20), []);
    });

  /** What the tools and thinfuse do not say alike, and how many runs of the tools met damage. */
  async function compareHurt(
    whole: Buffer,
    seed: number,
  ): Promise<{ readonly differ: readonly string[]; readonly damaged: number }> {
    const file = scratch.current.at('hurt');
    const used = usedBlocks(whole);
    const random = randomOf(Number(process.env['THINFUSE_CHECK_SEED'] ?? 11) + seed);
    const differ: string[] = [];
    let damaged = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const { bytes, what } = round === 0 ? { bytes: whole, what: 'as it is' } : hurt(whole, used, random);
      await writeFile(file, bytes);
      for (const { tool, ours } of TOOLS) {
        const theirs = await told(thinTool(tool[0]!, ...tool.slice(1), file));
        // thin_ls keeps a bit for every block that a broken mapping names, and may get no memory.
        // The same of thin_check where its map claims more blocks than an index has.
        if (theirs.code < 0 || theirs.stderr.includes('std::bad_alloc')) {
          assert.equal(soundBySurvey(bytes), false, `round ${round}, ${what}`);
          continue;
        }
        const our = await tellOf(() => ours(new MemoryBlocks(bytes)));
        if (theirs.code !== 0) damaged++;
        if (JSON.stringify(comparable(our, tool)) !== JSON.stringify(comparable(theirs, tool)))
          differ.push(
            `round ${round}, ${what}: ${tool.join(' ')}: ${excerpt(theirs)}, and ours ${excerpt(our)}`,
          );
        if (tool.length === 1 && tool[0] === 'thin_check' && theirs.code !== 0 && soundBySurvey(bytes))
          differ.push(`round ${round}, ${what}: info calls it sound, and thin_check does not`);
      }
    }
    return { differ, damaged };
  }

  it('of a leaf and of an inner node that claim more entries than fit', async () => {
    const whole = await sharingMetadata(scratch.current, 1);
    const file = scratch.current.at('hurt');
    const nodes = usedBlocks(whole).filter(([, kind]) => kind === 'node');
    const differ: string[] = [];
    for (const [block] of nodes) {
      const bytes = Buffer.from(whole);
      const node = bytes.subarray(block * METADATA_BLOCK, (block + 1) * METADATA_BLOCK);
      node.writeUInt32LE(node.readUInt32LE(COUNT_AT) + 254, COUNT_AT);
      sealBlock('node', block, node);
      await writeFile(file, bytes);
      for (const { tool, ours } of TOOLS) {
        const theirs = await told(thinTool(tool[0]!, ...tool.slice(1), file));
        if (theirs.code < 0 || theirs.stderr.includes('std::bad_alloc')) continue;
        const our = await tellOf(() => ours(new MemoryBlocks(bytes)));
        if (JSON.stringify(comparable(our, tool)) !== JSON.stringify(comparable(theirs, tool)))
          differ.push(`block ${block}: ${tool.join(' ')}: ${excerpt(theirs)}, and ours ${excerpt(our)}`);
      }
    }
    assert.deepEqual(differ, []);
  });

  it('is listed alike, however many data blocks are counted at once', async () => {
    const whole = await sharingMetadata(scratch.current, 0);
    const list = (window?: number): unknown =>
      thinLs(ToolMetadata.open(new MemoryBlocks(whole), false), { walk: true, window });
    for (const window of [4, 64, 599, 1999, 2000]) assert.deepEqual(list(window), list());
  });

  it('ends where the superblock claims more metadata than there can be', async () => {
    const bytes = await sharingMetadata(scratch.current, 1);
    bytes.writeBigUInt64LE(2n ** 38n, METADATA_BLOCKS_AT);
    sealBlock('superblock', 0, bytes.subarray(0, METADATA_BLOCK));
    assert.equal(checked(new MemoryBlocks(bytes), 'all').code, 1);
    assert.equal(soundBySurvey(bytes), false);
  });
});

/** The entries of a node. */
const COUNT_AT = 16;
/** The count of metadata blocks in the superblock's own space map. */
const METADATA_BLOCKS_AT = 192;

function checked(
  blocks: MemoryBlocks,
  depth: 'records' | 'all',
  ignoreNonFatal = false,
): { code: number; stdout: string; stderr: string } {
  let [stdout, stderr] = ['', ''];
  const isSound = thinCheck(
    blocks,
    { depth, ignoreNonFatal, heldRoot: false },
    { info: (line) => (stdout += `${line}\n`), progress: (line) => (stderr += `${line}\n`) },
  );
  return { code: isSound ? 0 : 1, stdout, stderr };
}

function dumped(blocks: MemoryBlocks): { code: number; stdout: string; stderr: string } {
  let stdout = '';
  try {
    for (const piece of thinDumpText(ToolMetadata.open(blocks, false), {
      format: 'xml',
      repair: false,
      skipMappings: false,
      overrides: {},
    }))
      stdout += piece.toString();
    return { code: 0, stdout, stderr: '' };
  } catch (error) {
    if (!(error instanceof ToolFault)) throw error;
    return { code: 1, stdout, stderr: error.message };
  }
}

function listed(metadata: ToolMetadata): string {
  return thinLs(metadata, { walk: true })
    .map(({ id, details, exclusive = 0 }) => {
      const { mappedBlocks, transactionId, creationTime, snapTime } = details;
      const shared = BigInt.asUintN(64, mappedBlocks - BigInt(exclusive));
      return `${[id, mappedBlocks, exclusive, shared, transactionId, creationTime, snapTime].join(' ')}\n`;
    })
    .join('');
}

async function tellOf(look: () => Output | Promise<Output>): Promise<Told> {
  try {
    const { code = 0, stdout, stderr = '' } = await look();
    return { code, stdout: plain(stdout), stderr: plain(stderr) };
  } catch (error) {
    if (!(error instanceof ToolFault)) throw error;
    return { code: 1, stdout: '', stderr: plain(error.message) };
  }
}

async function told(finished: Promise<Finished>): Promise<Told> {
  const { code, stdout, stderr } = await finished;
  return { code, stdout: plain(stdout), stderr: plain(stderr.replace(/^Usage: [^]*$/m, '')) };
}

/** Columns and the last newline aside. */
function plain(text: string): string {
  return text
    .split('\n')
    .map((line) => (/^[ \d]+$/.test(line) ? line.trim().replace(/ +/g, ' ') : line))
    .join('\n')
    .trimEnd();
}

/**
 * thin_rmap puts runs that begin at one block in an order of its sort's own making; and of numbers of 2^53
 * and more, which no sound metadata has, thinfuse knows what a double holds.
 */
function comparable({ code, stdout, stderr }: Told, [tool]: readonly string[]): Told {
  const rounded = (text: string): string => text.replaceAll(/\d{16,}/g, (digits) => String(Number(digits)));
  const sorted = tool === 'thin_rmap' ? stdout.split('\n').sort().join('\n') : stdout;
  return { code, stdout: rounded(sorted), stderr: rounded(stderr) };
}

function excerpt({ code, stdout, stderr }: Told): string {
  return JSON.stringify({ code, stdout: stdout.slice(-200), stderr: stderr.slice(-400) });
}

function soundBySurvey(bytes: Buffer): boolean {
  try {
    return surveyDamage(LegacyPool.open(new MemoryBlocks(bytes))).length === 0;
  } catch {
    return false;
  }
}

function hurt(
  whole: Buffer,
  used: readonly (readonly [number, BlockKind])[],
  random: (below: number) => number,
): { bytes: Buffer; what: string } {
  const bytes = Buffer.from(whole);
  const [block, kind] = used[random(used.length)]!;
  const at = block * METADATA_BLOCK;
  const within = bytes.subarray(at, at + METADATA_BLOCK);
  switch (random(6)) {
    case 0:
      within.fill(0);
      return { bytes, what: `block ${block} (${kind}) zeroed` };
    case 1: {
      const [other] = used[random(used.length)]!;
      whole.copy(bytes, at, other * METADATA_BLOCK, (other + 1) * METADATA_BLOCK);
      return { bytes, what: `block ${block} (${kind}) written over with block ${other}` };
    }
    default: {
      // Where what is stored is: behind the head, and mostly where entries are.
      const place = 16 + random(random(3) === 0 ? METADATA_BLOCK - 16 : 200);
      within[place] = within[place]! ^ (1 << random(8));
      if (random(8) > 0) sealBlock(kind, block, within);
      return { bytes, what: `block ${block} (${kind}) changed at ${place}` };
    }
  }
}
