import type { DeviceRecord } from '../format/device-record.js';
import type { Superblock } from '../format/superblock.js';
import { mappingRuns, type MappingRun } from '../metadata/mapping-runs.js';
import { deviceIn, type MetadataView } from '../metadata/metadata-view.js';
import { deviceFactsOf, factsComment, poolFactsOf } from './facts.js';

export const DUMP_FORMATS = ['xml', 'human_readable'] as const;
export type DumpFormat = (typeof DUMP_FORMATS)[number];

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
const SECTOR = 512;
/** thin_dump says 2 of any pool that the kernel can still write. */
const METADATA_VERSION = 2;

/**
 * The pool in the words of thin_dump 0.9.0, in pieces of text.
 * @throws ThinError not-found (the device), damaged unless `repair`
 */
export async function* dump(view: MetadataView, options: DumpOptions): AsyncGenerator<string> {
  const words = options.format === 'xml' ? xmlWords(options) : humanWords();
  const devices = options.device === undefined ? view.devices : [deviceIn(view, options.device)];
  let text = words.begin(view.superblock);
  for (const device of devices) {
    const { record, lost } = await surveyed(view, device, options);
    text += words.beginDevice(record);
    for (const problem of lost) text += words.lost(problem);
    if (options.skipMappings !== true)
      for await (const run of mappingRuns(view.nodes, record.root, options.repair ? pass : undefined)) {
        text += words.run(run);
        if (text.length < PIECE) continue;
        yield text;
        text = '';
      }
    text += words.endDevice();
  }
  yield text + words.end();
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
  // It was told of before the mappings.
}

interface Words {
  begin(superblock: Superblock): string;
  beginDevice(record: DeviceRecord): string;
  lost(problem: string): string;
  run(run: MappingRun): string;
  endDevice(): string;
  end(): string;
}

function xmlWords({ plain, poolOptions }: DumpOptions): Words {
  const facts = (indent: string, comment: () => string): string =>
    plain === true ? '' : `${indent}${comment()}\n`;
  return {
    begin: (superblock) =>
      superblockTag(superblock) + facts('  ', () => factsComment(poolFactsOf(superblock, poolOptions))),
    beginDevice: (record) => deviceTag(record) + facts('    ', () => factsComment(deviceFactsOf(record))),
    lost: (problem) => `    <!-- lost: ${problem.replaceAll('--', '- -')} -->\n`,
    run: mappingTag,
    endDevice: () => DEVICE_END,
    end: () => SUPERBLOCK_END,
  };
}

type DumpedSuperblock = Pick<Superblock, 'time' | 'transactionId' | 'needsCheck' | 'blockSize' | 'chunks'>;
type DumpedDevice = Pick<DeviceRecord, 'id' | 'mapped' | 'transactionId' | 'creationTime' | 'snapTime'>;

/** Lines of thin_dump's XML. */
export const DEVICE_END = '  </device>\n';
export const SUPERBLOCK_END = '</superblock>\n';

export function superblockTag({
  time,
  transactionId,
  needsCheck,
  blockSize,
  chunks,
}: DumpedSuperblock): string {
  return `<superblock uuid="" time="${time}" transaction="${transactionId}" flags="${needsCheck ? '1' : '0'}" version="${METADATA_VERSION}" data_block_size="${blockSize / SECTOR}" nr_data_blocks="${chunks}">\n`;
}

export function deviceTag({ id, mapped, transactionId, creationTime, snapTime }: DumpedDevice): string {
  return `  <device dev_id="${id}" mapped_blocks="${mapped}" transaction="${transactionId}" creation_time="${creationTime}" snap_time="${snapTime}">\n`;
}

export function mappingTag({ begin, chunk, length, time }: MappingRun): string {
  return length === 1
    ? `    <single_mapping origin_block="${begin}" data_block="${chunk}" time="${time}"/>\n`
    : `    <range_mapping origin_begin="${begin}" data_begin="${chunk}" length="${length}" time="${time}"/>\n`;
}

function humanWords(): Words {
  return {
    begin: (superblock) =>
      `begin superblock: "", ${superblock.time}, ${superblock.transactionId}, ${superblock.needsCheck ? '1' : '0'}, ${METADATA_VERSION}, ${superblock.blockSize / SECTOR}, ${superblock.chunks}\n`,
    beginDevice: (record) =>
      [
        `device: ${record.id}`,
        `mapped_blocks: ${record.mapped}`,
        `transaction: ${record.transactionId}`,
        `creation time: ${record.creationTime}`,
        `snap time: ${record.snapTime}`,
        '',
      ].join('\n'),
    lost: (problem) => `    lost: ${problem}\n`,
    run: ({ begin, chunk, length, time }) =>
      length === 1
        ? `    ${begin} -> ${chunk}, ${time}\n`
        : `    (${begin}..${begin + length - 1}) -> (${chunk}..${chunk + length - 1}), ${time}\n`,
    endDevice: () => '\n',
    end: () => 'end superblock\n',
  };
}
