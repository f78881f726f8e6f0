import { LogKind, type LogRecord } from '../format/log-record.js';

/** The content of a chunk before `data` is applied. */
export type ChunkStart =
  /** Its stored content. */
  | { readonly kind: 'stored' }
  | { readonly kind: 'zeroes' }
  | { readonly kind: 'copy'; readonly origin: number }
  | { readonly kind: 'partial'; readonly backing: number };

export interface ChunkContents {
  readonly start: ChunkStart;
  readonly data: readonly { readonly within: number; readonly bytes: Uint8Array }[];
  /** Pages that came to it, in a pool where their data is there already. */
  readonly pages: number;
  /** It was remote, and its bytes are here. */
  readonly isFetched: boolean;
}

/** The last mapping of each block of each device. */
export type FoldedMappings = ReadonlyMap<number, ReadonlyMap<number, number | undefined>>;

/** What was mapped before a device was changed, and that change. */
export interface LogSegment {
  readonly mappings: FoldedMappings;
  /** Undefined: the log ends here. */
  readonly change: LogRecord | undefined;
}

/** The result of the records: the last mapping of each block, and the content of chunks. */
export interface FoldedLog {
  readonly segments: readonly LogSegment[];
  /** At the end of all. A chunk that was copied before has not changed since. */
  readonly chunks: ReadonlyMap<number, ChunkContents>;
}

interface Building {
  readonly start: ChunkStart;
  data: { readonly within: number; readonly bytes: Uint8Array }[];
  pages: number;
  isFetched: boolean;
}

/**
 * Only the end of a history can be applied to a state that may have a part of it already: an origin that was
 * copied early may have changed since, in that state, but where a mapping to the copy is not there yet it
 * cannot have, because what was shared in the last durable commit is not overwritten in place before the
 * next. Changes of devices that the state does not have yet part the history, because a snapshot has the
 * mappings of its moment.
 *
 * @param records in the order in which things were done
 */
export function foldLog(records: Iterable<LogRecord>): FoldedLog {
  const segments: LogSegment[] = [];
  let mappings = new Map<number, Map<number, number | undefined>>();
  const chunks = new Map<number, Building>();
  const map = (device: number, block: number, chunk: number | undefined): void => {
    let blocks = mappings.get(device);
    if (blocks === undefined) mappings.set(device, (blocks = new Map<number, number | undefined>()));
    blocks.set(block, chunk);
  };
  const begin = (chunk: number, start: ChunkStart, pages = 0): Building => {
    const building = { start, data: [], pages, isFetched: false };
    chunks.set(chunk, building);
    return building;
  };
  const known = (chunk: number): Building => chunks.get(chunk) ?? begin(chunk, { kind: 'stored' });
  for (const record of records) {
    const { kind, device, block, chunk, origin, pages, within, payload } = record;
    switch (kind) {
      case LogKind.MAP:
        for (let i = 0; i < record.run; i++) {
          map(device, block + i, chunk + i);
          begin(chunk + i, { kind: 'stored' });
        }
        break;
      case LogKind.MAP_PARTIAL:
        map(device, block, chunk);
        begin(chunk, { kind: 'partial', backing: origin }, pages);
        break;
      case LogKind.PROVISION:
      case LogKind.COPY:
        map(device, block, chunk);
        begin(chunk, kind === LogKind.COPY ? { kind: 'copy', origin } : { kind: 'zeroes' }).data.push({
          within,
          bytes: payload,
        });
        break;
      case LogKind.UNMAP:
        map(device, block, undefined);
        break;
      case LogKind.DATA:
        known(chunk).data.push({ within, bytes: payload });
        break;
      case LogKind.PAGES:
        known(chunk).pages |= pages;
        break;
      case LogKind.FETCHED:
        known(chunk).isFetched = true;
        break;
      case LogKind.CREATE:
      case LogKind.CHANGE:
      case LogKind.REMOVE:
        segments.push({ mappings, change: record });
        mappings = new Map();
        break;
      case LogKind.END:
      case LogKind.SKIP:
      case LogKind.SYNCED:
        break;
    }
  }
  segments.push({ mappings, change: undefined });
  return { segments, chunks };
}
