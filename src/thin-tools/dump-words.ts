const SECTOR = 512;

export interface DumpedSuperblock {
  readonly time: number;
  readonly transaction: number | bigint;
  readonly flags: number;
  readonly version: number;
  /** Bytes of a data block. */
  readonly blockSize: number;
  readonly dataBlocks: number;
}

export interface DumpedDevice {
  readonly id: number;
  readonly mapped: number | bigint;
  readonly transaction: number | bigint;
  readonly creationTime: number;
  readonly snapTime: number;
}

export interface DumpedRun {
  readonly begin: number;
  readonly chunk: number;
  readonly length: number;
  readonly time: number;
}

/** Takes a line in parts, from its start. Texts are ASCII. */
export interface LineSink {
  text(part: string): void;
  number(value: number): void;
}

/** The lines of thin_dump 0.9.0 in one of its formats. */
export interface DumpWords {
  begin(superblock: DumpedSuperblock): string;
  beginDevice(device: DumpedDevice): string;
  run(run: DumpedRun, sink: LineSink): void;
  readonly endDevice: string;
  readonly end: string;
}

const XML: DumpWords = {
  begin: ({ time, transaction, flags, version, blockSize, dataBlocks }) =>
    `<superblock uuid="" time="${time}" transaction="${transaction}" flags="${flags}" version="${version}" data_block_size="${blockSize / SECTOR}" nr_data_blocks="${dataBlocks}">\n`,
  beginDevice: ({ id, mapped, transaction, creationTime, snapTime }) =>
    `  <device dev_id="${id}" mapped_blocks="${mapped}" transaction="${transaction}" creation_time="${creationTime}" snap_time="${snapTime}">\n`,
  run: ({ begin, chunk, length, time }, sink) => {
    sink.text(length === 1 ? '    <single_mapping origin_block="' : '    <range_mapping origin_begin="');
    sink.number(begin);
    sink.text(length === 1 ? '" data_block="' : '" data_begin="');
    sink.number(chunk);
    if (length !== 1) {
      sink.text('" length="');
      sink.number(length);
    }
    sink.text('" time="');
    sink.number(time);
    sink.text('"/>\n');
  },
  endDevice: '  </device>\n',
  end: '</superblock>\n',
};

const HUMAN: DumpWords = {
  begin: ({ time, transaction, flags, version, blockSize, dataBlocks }) =>
    `begin superblock: "", ${time}, ${transaction}, ${flags}, ${version}, ${blockSize / SECTOR}, ${dataBlocks}\n`,
  beginDevice: ({ id, mapped, transaction, creationTime, snapTime }) =>
    `device: ${id}\nmapped_blocks: ${mapped}\ntransaction: ${transaction}\ncreation time: ${creationTime}\nsnap time: ${snapTime}\n`,
  run: ({ begin, chunk, length, time }, sink) => {
    const range = (first: number): void => {
      if (length !== 1) sink.text('(');
      sink.number(first);
      if (length === 1) return;
      sink.text('..');
      sink.number(first + length - 1);
      sink.text(')');
    };
    sink.text('    ');
    range(begin);
    sink.text(' -> ');
    range(chunk);
    sink.text(', ');
    sink.number(time);
    sink.text('\n');
  },
  endDevice: '\n',
  end: 'end superblock\n',
};

export const DUMP_WORDS = { xml: XML, human_readable: HUMAN } as const;
export type DumpFormat = keyof typeof DUMP_WORDS;
export const DUMP_FORMATS = ['xml', 'human_readable'] as const satisfies readonly DumpFormat[];

/** The line of a run as a text. */
export function runLine(words: DumpWords, run: DumpedRun): string {
  let line = '';
  words.run(run, {
    text: (part) => (line += part),
    number: (value) => (line += String(value)),
  });
  return line;
}
