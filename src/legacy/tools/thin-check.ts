import type { BlockReader } from '../block-reader.js';
import { Counts } from '../reference-counts.js';
import { DETAILS_BYTES } from '../device-details.js';
import { MAPPING_BYTES } from '../mapping-value.js';
import { ToolBlocks, ToolFault } from './tool-blocks.js';
import { clearNeedsCheck, freeBlocks, leakedBlocks, type WriteBlock } from './thin-mend.js';
import { countToolMetadata, ToolSpaceMap } from './tool-counts.js';
import { readToolSuperblock, type ToolSuperblock } from './tool-superblock.js';
import { ToolWalk, type TreePath, type TreeShape } from './tool-walk.js';

export interface ThinCheckOptions {
  /** How far to look: the superblock, the devices, all. */
  readonly depth: 'superblock' | 'records' | 'all';
  readonly ignoreNonFatal: boolean;
  readonly heldRoot: boolean;
  readonly mappingRoot?: number | undefined;
  readonly detailsRoot?: number | undefined;
  /** Leave it out to read only. */
  readonly mend?: ThinMend | undefined;
}

/** What thin_check writes where nothing is worse than that. */
export interface ThinMend {
  /** `--auto-repair`: blocks that are counted, and to which nothing refers, become free. */
  readonly freeLeaks: boolean;
  readonly write: WriteBlock;
}

/** Told in the order in which thin_check prints. */
export interface ThinCheckOutput {
  /** A line of standard output. */
  info(line: string): void;
  /** A line of standard error. */
  progress(line: string): void;
}

/** How bad it is: leaks are not fatal. */
type Verdict = 'sound' | 'leaks' | 'fatal';

/**
 * Checks metadata of dm-thin as thin_check 0.9 does, says so in its words, and mends what it mends.
 * @returns whether thin_check ends with 0
 */
export function thinCheck(reader: BlockReader, options: ThinCheckOptions, output: ThinCheckOutput): boolean {
  if (reader.blocks === 0) {
    output.progress('Metadata device/file too small.  Is this binary metadata?');
    return false;
  }
  try {
    const checker = new Checker(new ToolBlocks(reader), options, output);
    const found = checker.check();
    const verdict = options.mend === undefined ? found : checker.mend(found, options.mend);
    return verdict === 'sound' || (verdict === 'leaks' && options.ignoreNonFatal);
  } catch (error) {
    if (!(error instanceof ToolFault)) throw error;
    output.progress(error.message);
    return false;
  }
}

class Checker {
  readonly #blocks: ToolBlocks;
  readonly #options: ThinCheckOptions;
  readonly #output: ThinCheckOutput;
  #counted: { readonly superblock: ToolSuperblock; readonly counts: Counts } | undefined;

  constructor(blocks: ToolBlocks, options: ThinCheckOptions, output: ThinCheckOutput) {
    this.#blocks = blocks;
    this.#options = options;
    this.#output = output;
  }

  check(): Verdict {
    const { depth, heldRoot } = this.#options;
    const superblock = this.#superblock(this.#location());
    if (superblock === undefined) return 'fatal';
    this.#output.info(`TRANSACTION_ID=${superblock.transaction}`);
    this.#output.info(`METADATA_FREE_BLOCKS=${this.#blocks.count - 1}`);
    if (depth === 'superblock') return 'sound';
    const details = this.#tree('examining devices tree', superblock.detailsRoot, {
      levels: 1,
      valueSize: DETAILS_BYTES,
    });
    const mappings =
      depth === 'records'
        ? this.#tree('examining top level of mapping tree', superblock.mappingRoot, {
            levels: 1,
            valueSize: MAPPING_BYTES,
          })
        : this.#tree('examining mapping tree', superblock.mappingRoot, {
            levels: 2,
            valueSize: MAPPING_BYTES,
          });
    if (!details || !mappings) return 'fatal';
    return depth === 'all' && !heldRoot ? this.#counts(superblock) : 'sound';
  }

  mend(found: Verdict, { freeLeaks, write }: ThinMend): Verdict {
    if (this.#counted === undefined) {
      for (const _ of freeLeaks ? ['leaks', 'flag'] : ['flag'])
        this.#output.progress('metadata has not been fully examined');
      return found;
    }
    let verdict = found;
    if (freeLeaks && found === 'leaks') {
      const { superblock, counts } = this.#counted;
      const map = new ToolSpaceMap(this.#blocks, superblock.metadataSpaceMap);
      const leaked = leakedBlocks(map, superblock, counts);
      if (leaked === undefined) return found;
      freeBlocks(this.#blocks, superblock, leaked, write);
      this.#output.progress('fixed metadata leaks');
      verdict = 'sound';
    }
    if (verdict === 'sound' && clearNeedsCheck(this.#blocks, write))
      this.#output.progress('cleared needs_check flag');
    return verdict;
  }

  #location(): number {
    if (!this.#options.heldRoot) return 0;
    const { heldRoot } = readToolSuperblock(this.#blocks);
    if (heldRoot === 0) throw new ToolFault('No metadata snapshot found.');
    return heldRoot;
  }

  #superblock(location: number): ToolSuperblock | undefined {
    this.#output.progress('examining superblock');
    try {
      const superblock = readToolSuperblock(this.#blocks, location);
      const { mappingRoot = superblock.mappingRoot, detailsRoot = superblock.detailsRoot } = this.#options;
      return { ...superblock, mappingRoot, detailsRoot };
    } catch (error) {
      if (!(error instanceof ToolFault)) throw error;
      this.#output.progress('  superblock is corrupt');
      this.#output.progress(`    ${error.message}`);
      if (this.#blocks.isXml)
        this.#output.progress('This looks like XML.  thin_check only checks the binary metadata format.');
      return undefined;
    }
  }

  /** Whether nothing is lost. */
  #tree(title: string, root: number, shape: TreeShape): boolean {
    this.#output.progress(title);
    let isSound = true;
    const walk = new ToolWalk(
      this.#blocks,
      { ...shape, ignoreNonFatal: this.#options.ignoreNonFatal },
      (path, lost, problem) => {
        isSound = false;
        this.#output.progress(`  ${lostWords(title, path, lost)}`);
        this.#output.progress(`    ${problem}`);
      },
    );
    for (const _ of walk.leaves(root)) continue;
    return isSound;
  }

  #counts(superblock: ToolSuperblock): Verdict {
    this.#output.progress('checking space map counts');
    const expected = new Counts(0, this.#blocks.count);
    this.#counted = { superblock, counts: expected };
    const isWhole = countToolMetadata(this.#blocks, superblock, expected, (problem) =>
      this.#output.progress(problem),
    );
    if (!isWhole) return 'fatal';
    const map = new ToolSpaceMap(this.#blocks, superblock.metadataSpaceMap);
    let verdict: Verdict = 'sound';
    for (let block = 0; block < superblock.metadataSpaceMap.blocks; block++) {
      const [actual, wanted] = [map.count(block), expected.of(block)];
      if (actual === wanted) continue;
      this.#output.progress(
        `  metadata reference counts differ for block ${block}, expected ${wanted}, but got ${actual}`,
      );
      if (actual < wanted) verdict = 'fatal';
      else if (verdict === 'sound') verdict = 'leaks';
    }
    return verdict;
  }
}

function lostWords(title: string, [device]: TreePath, lost: string): string {
  if (title === 'examining devices tree') return `missing devices: ${lost}`;
  if (device === undefined) return `missing all mappings for devices: ${lost}`;
  return `thin device ${device} is missing mappings ${lost}`;
}
