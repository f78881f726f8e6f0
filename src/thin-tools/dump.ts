import type { DeviceRecord } from '../format/device-record.js';
import type { Superblock } from '../format/superblock.js';
import { mappingRuns } from '../metadata/mapping-runs.js';
import { deviceIn, type MetadataView } from '../metadata/metadata-view.js';
import {
  DUMP_WORDS,
  runLine,
  type DumpedDevice,
  type DumpedSuperblock,
  type DumpFormat,
} from './dump-words.js';
import { deviceFactsOf, factsComment, poolFactsOf } from './facts.js';

export interface DumpOptions {
  readonly format: DumpFormat;
  /** Only this device: its name or number. */
  readonly device?: string | undefined;
  readonly skipMappings?: boolean | undefined;
  /** Passes over what cannot be read, and says so in comments; else it ends the dump. */
  readonly repair?: boolean | undefined;
  /** Without the comments that hold what the XML has no place for. */
  readonly plain?: boolean | undefined;
  /** The pool's options record, for those comments. */
  readonly poolOptions?: unknown;
}

/** Bytes of text handed on at a time. */
const PIECE = 64 * 1024;
/** thin_dump says 2 of any pool that the kernel can still write. */
const METADATA_VERSION = 2;

/**
 * The pool in the words of thin_dump 0.9.0, in pieces of text.
 * @throws ThinError not-found (the device), damaged unless `repair`
 */
export async function* dump(view: MetadataView, options: DumpOptions): AsyncGenerator<string> {
  const words = DUMP_WORDS[options.format];
  const facts = new FactLines(options);
  const devices = options.device === undefined ? view.devices : [deviceIn(view, options.device)];
  let text = words.begin(dumpedSuperblock(view.superblock)) + facts.ofPool(view.superblock);
  for (const device of devices) {
    const { record, lost } = await surveyed(view, device, options);
    text += words.beginDevice(dumpedDevice(record)) + facts.ofDevice(record);
    for (const problem of lost) text += lostLine(problem, options);
    if (options.skipMappings !== true)
      for await (const run of mappingRuns(view.nodes, record.root, options.repair ? pass : undefined)) {
        text += runLine(words, run);
        if (text.length < PIECE) continue;
        yield text;
        text = '';
      }
    text += words.endDevice;
  }
  yield text + words.end;
}

/** The readable part of a device. Its record may count more. */
async function surveyed(
  view: MetadataView,
  record: DeviceRecord,
  { repair }: DumpOptions,
): Promise<{ record: DeviceRecord; lost: readonly string[] }> {
  if (repair !== true) return { record, lost: [] };
  const lost: string[] = [];
  let mapped = 0;
  const runs = mappingRuns(view.nodes, record.root, (_id, error, from, to) => {
    const end = Math.min(to, Math.ceil(record.size / view.superblock.blockSize));
    lost.push(`blocks ${from} to ${end - 1} of device ${record.id}: ${error.message}`);
  });
  for await (const { length } of runs) mapped += length;
  return { record: { ...record, mapped }, lost };
}

function pass(): void {
  // It was reported before the mappings.
}

/** What stands in comments, for `restore`: in XML, unless the dump is plain. */
class FactLines {
  readonly #options: DumpOptions;
  readonly #hasThem: boolean;

  constructor(options: DumpOptions) {
    this.#options = options;
    this.#hasThem = options.format === 'xml' && options.plain !== true;
  }

  ofPool(superblock: Superblock): string {
    if (!this.#hasThem) return '';
    return `  ${factsComment(poolFactsOf(superblock, this.#options.poolOptions))}\n`;
  }

  ofDevice(record: DeviceRecord): string {
    return this.#hasThem ? `    ${factsComment(deviceFactsOf(record))}\n` : '';
  }
}

function lostLine(problem: string, { format }: DumpOptions): string {
  return format === 'xml'
    ? `    <!-- lost: ${problem.replaceAll('--', '- -')} -->\n`
    : `    lost: ${problem}\n`;
}

export function dumpedSuperblock({
  time,
  transactionId,
  needsCheck,
  blockSize,
  chunks,
}: Pick<Superblock, 'time' | 'transactionId' | 'needsCheck' | 'blockSize' | 'chunks'>): DumpedSuperblock {
  const flags = needsCheck ? 1 : 0;
  const version = METADATA_VERSION;
  return { time, transaction: transactionId, flags, version, blockSize, dataBlocks: chunks };
}

function dumpedDevice({ id, mapped, transactionId, creationTime, snapTime }: DeviceRecord): DumpedDevice {
  return { id, mapped, transaction: transactionId, creationTime, snapTime };
}
