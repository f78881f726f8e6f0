import { setImmediate as nextTurn } from 'node:timers/promises';
import { delta } from '../metadata/delta.js';
import { deviceIn, type MetadataView } from '../metadata/metadata-view.js';
import { DELTA_LINES, type DeltaFormat } from './delta-lines.js';

export interface DeltaOptions {
  /** Names or numbers. */
  readonly left: string;
  readonly right: string;
  /** thin_delta's two forms, or a JSON document with what the verbose one says. */
  readonly format: DeltaFormat;
  /** Leaves out what is the same, and does not read it where both devices share the tree above it. */
  readonly changesOnly?: boolean | undefined;
}

const PIECE = 64 * 1024;
const SECTOR = 512;

/**
 * How two devices differ, in the words of thin_delta 0.9.0, in pieces of text. @throws ThinError not-found,
 * damaged
 */
export async function* deltaText(view: MetadataView, options: DeltaOptions): AsyncGenerator<string> {
  const [left, right] = [deviceIn(view, options.left), deviceIn(view, options.right)];
  const { superblock } = view;
  const ranges = delta(view.nodes, left.root, right.root, { changesOnly: options.changesOnly === true });
  let text = '';
  if (options.format === 'json')
    text += `{"left":${named(left)},"right":${named(right)},"blockSize":${superblock.blockSize},"ranges":[`;
  else
    text +=
      `<superblock uuid="" time="${superblock.time}" transaction="${superblock.transactionId}" data_block_size="${superblock.blockSize / SECTOR}" nr_data_blocks="${superblock.chunks}">\n` +
      `  <diff left="${left.id}" right="${right.id}">\n`;
  for await (const line of DELTA_LINES[options.format](ranges)) {
    text += line;
    if (text.length < PIECE) continue;
    yield text;
    text = '';
    await nextTurn();
  }
  yield text + (options.format === 'json' ? '\n]}\n' : '  </diff>\n</superblock>\n');
}

function named({ id, name }: { id: number; name: string }): string {
  return JSON.stringify({ id, name });
}
