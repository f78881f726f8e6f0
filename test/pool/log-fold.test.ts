import assert from 'node:assert/strict';
import { LogKind, type LogRecord } from '../../src/format/log-record.js';
import { foldLog } from '../../src/pool/log-fold.js';

describe('a folded log', () => {
  const action = (kind: LogKind, fields: Partial<LogRecord>): LogRecord => ({
    ...{ kind, device: 1, block: 0, chunk: 0, run: 1, origin: 0, pages: 0, within: 0 },
    ...{ payload: new Uint8Array(), position: 0, length: 64, synced: 0 },
    ...fields,
  });

  it('has the last mapping of each block', () => {
    const { segments } = foldLog([
      action(LogKind.MAP, { block: 4, chunk: 10, run: 3 }),
      action(LogKind.UNMAP, { block: 5 }),
      action(LogKind.PROVISION, { block: 6, chunk: 20 }),
    ]);
    assert.deepEqual(
      [...segments[0]!.mappings.get(1)!],
      [
        [4, 10],
        [5, undefined],
        [6, 20],
      ],
    );
  });

  it('is parted where a device was changed', () => {
    const create = action(LogKind.CREATE, { device: 2, origin: 1 });
    const { segments } = foldLog([
      action(LogKind.MAP, { block: 4, chunk: 10 }),
      create,
      action(LogKind.COPY, { block: 4, chunk: 11, origin: 10 }),
    ]);
    assert.deepEqual(
      segments.map(({ mappings, change }) => [[...(mappings.get(1) ?? [])], change]),
      [
        [[[4, 10]], create],
        [[[4, 11]], undefined],
      ],
    );
  });

  it('has what each chunk got since it was last begun', () => {
    const payload = Uint8Array.of(7);
    const { chunks } = foldLog([
      action(LogKind.DATA, { chunk: 3, within: 1, payload }),
      action(LogKind.PROVISION, { chunk: 4, payload: Uint8Array.of(1) }),
      action(LogKind.COPY, { chunk: 4, origin: 3, within: 2, payload }),
      action(LogKind.MAP_PARTIAL, { chunk: 5, origin: 9, pages: 0b1 }),
      action(LogKind.PAGES, { chunk: 5, pages: 0b100 }),
    ]);
    assert.deepEqual(chunks.get(3), {
      start: { kind: 'stored' },
      data: [{ within: 1, bytes: payload }],
      pages: 0,
      isFetched: false,
    });
    assert.deepEqual(chunks.get(4), {
      start: { kind: 'copy', origin: 3 },
      data: [{ within: 2, bytes: payload }],
      pages: 0,
      isFetched: false,
    });
    assert.deepEqual(chunks.get(5), {
      start: { kind: 'partial', backing: 9 },
      data: [],
      pages: 0b101,
      isFetched: false,
    });
  });
});
