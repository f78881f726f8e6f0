import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import { decodeStream, type StreamItem } from '../../src/transfer/stream-decoder.js';
import { StreamEncoder } from '../../src/transfer/stream-encoder.js';
import { formatPoint, packHeader, parsePoint, type StreamHeader } from '../../src/transfer/stream-format.js';

type Told = { readonly data: Uint8Array } | { readonly zero: number };

const SIZE = 2 ** 40;
const header: StreamHeader = {
  name: 'web',
  size: SIZE,
  kind: 'snapshot',
  filesystem: 'xfs',
  base: { name: 'mon', digest: 'ab'.repeat(32) },
};

/** Changes with what lies between them. */
const changes = fc.array(
  fc.tuple(
    fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 60 }).map((data): Told => ({ data })),
      fc.integer({ min: 1, max: 2 ** 33 }).map((zero): Told => ({ zero })),
    ),
    fc.oneof(fc.constant(0), fc.nat({ max: 2 ** 32 })),
  ),
  { maxLength: 20 },
);
type Changes = readonly (readonly [Told, number])[];

describe('streams of send', () => {
  it('tell what was sent, wherever they are cut into pieces', async () => {
    await fc.assert(
      fc.asyncProperty(changes, fc.integer({ min: 1, max: 300 }), async (sent, piece) => {
        const items = await read(inPieces(encode(sent), piece));
        assert.deepEqual(items[0], {
          kind: 'header',
          header,
          point: { offset: 0, sum: items[0]?.point.sum },
        });
        assert.equal(items.at(-1)?.kind, 'end');
        assert.deepEqual(toldBy(items), placed(sent));
      }),
      { numRuns: 300 },
    );
  });

  it('are refused when one bit is different, and tell nothing wrong before', async () => {
    await fc.assert(
      fc.asyncProperty(changes, fc.nat(), fc.integer({ min: 0, max: 7 }), async (sent, place, bit) => {
        const bytes = encode(sent);
        const at = place % bytes.length;
        bytes[at]! ^= 1 << bit;
        await refused(bytes, sent);
      }),
      { numRuns: 500 },
    );
  });

  it('are refused when they are cut off, go on, or lack a part', async () => {
    await fc.assert(
      fc.asyncProperty(changes, fc.nat(), fc.integer({ min: 1, max: 100 }), async (sent, place, count) => {
        const bytes = encode(sent);
        const at = place % bytes.length;
        await refused(bytes.subarray(0, at), sent);
        await refused(Buffer.concat([bytes, bytes.subarray(at, at + count)]), sent);
        await refused(Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + count)]), sent);
      }),
      { numRuns: 300 },
    );
  });

  it('are refused when frames change places', async () => {
    const encoder = new StreamEncoder();
    const frames = [
      encoder.begin(header),
      encoder.zero(0, 10),
      encoder.zero(10, 10),
      encoder.data(20, Buffer.alloc(3)),
      encoder.end(),
    ].map((parts) => Buffer.concat(parts));
    for (const order of [
      [0, 2, 1, 3, 4],
      [0, 1, 3, 4],
      [0, 1, 1, 2, 3, 4],
      [1, 2, 3, 4],
      [0, 0, 1, 2, 3, 4],
    ])
      await assert.rejects(read([Buffer.concat(order.map((index) => frames[index]!))]), ThinError);
  });

  it('never fail but by an error of their own, whatever the bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), fc.boolean(), async (noise, begun) => {
        const encoder = new StreamEncoder();
        const start = begun ? Buffer.concat(encoder.begin(header)) : Buffer.alloc(0);
        await assert.rejects(read([Buffer.concat([start, noise])]), ThinError);
      }),
      { numRuns: 500 },
    );
  });

  it('are refused where a change lies outside the device or before another, though the sums are right', async () => {
    const cases: ((encoder: StreamEncoder) => readonly Uint8Array[])[] = [
      (encoder) => encoder.zero(SIZE - 5, 6),
      (encoder) => encoder.zero(0, SIZE + 1),
      (encoder) => encoder.zero(0, 0),
      (encoder) => encoder.data(SIZE, Buffer.alloc(1)),
      (encoder) => encoder.zero(Number.MAX_SAFE_INTEGER, 1),
      (encoder) => [...encoder.zero(10, 10), ...encoder.zero(15, 10)],
      (encoder) => [...encoder.zero(10, 10), ...encoder.data(0, Buffer.alloc(1))],
    ];
    for (const make of cases) {
      const encoder = new StreamEncoder();
      const bytes = Buffer.concat([...encoder.begin(header), ...make(encoder), ...encoder.end()]);
      await assert.rejects(read([bytes]), { code: 'damaged' });
    }
  });

  it('go on from any change, and then have the sums that the whole one has', async () => {
    await fc.assert(
      fc.asyncProperty(changes, fc.nat(), async (sent, choice) => {
        fc.pre(sent.length > 0);
        const from = (choice % sent.length) + 1;
        const whole = await read([encode(sent)]);
        const rest = await read([encode(sent, from)]);
        assert.deepEqual(rest[1], { kind: 'resume', point: whole[from]?.point });
        assert.deepEqual(rest.slice(2), whole.slice(from + 1));
      }),
      { numRuns: 200 },
    );
  });

  it('have the same header for the same device, and are refused with another or a newer version', async () => {
    const { base, ...rest } = header;
    assert.deepEqual(packHeader({ base, ...rest }), packHeader(header));
    const encoder = new StreamEncoder();
    const wrong = { ...header, size: -1 };
    await assert.rejects(read([Buffer.concat([...encoder.begin(wrong), ...encoder.end()])]), {
      code: 'damaged',
    });
    const bytes = encode([]);
    bytes.writeUInt32LE(2, 8);
    await assert.rejects(read([bytes]), { code: 'wrong-version' });
    await assert.rejects(read([]), { code: 'invalid-argument' });
    await assert.rejects(read([Buffer.from('<superblock uuid="" time="2">')]), { code: 'invalid-argument' });
  });

  it('name places as text', () => {
    const point = { offset: 123456789, sum: '0123456789abcdef'.repeat(2) };
    assert.deepEqual(parsePoint(formatPoint(point)), point);
    for (const text of ['', '1', '1-', `-${point.sum}`, `1-${point.sum}0`, `9999999999999999-${point.sum}`])
      assert.throws(() => parsePoint(text), { code: 'invalid-argument' }, text);
  });
});

/** `from`: what stands before that change is not sent again. */
function encode(sent: Changes, from = 0): Buffer {
  const encoder = new StreamEncoder();
  const parts: Uint8Array[] = [...encoder.begin(header)];
  for (const [index, { offset, told }] of placed(sent).entries()) {
    const frame = 'data' in told ? encoder.data(offset, told.data) : encoder.zero(offset, told.zero);
    if (index >= from) parts.push(...frame);
    else if (index === from - 1) parts.push(...encoder.resume());
  }
  return Buffer.concat([...parts, ...encoder.end()]);
}

function placed(sent: Changes): { offset: number; told: Told }[] {
  let offset = 0;
  return sent.map(([told, gap]) => {
    const at = offset + gap;
    offset = at + ('data' in told ? told.data.length : told.zero);
    return { offset: at, told };
  });
}

function toldBy(items: readonly StreamItem[]): { offset: number; told: Told }[] {
  return items.flatMap((item): { offset: number; told: Told }[] => {
    if (item.kind === 'data') return [{ offset: item.offset, told: { data: new Uint8Array(item.bytes) } }];
    return item.kind === 'zero' ? [{ offset: item.offset, told: { zero: item.length } }] : [];
  });
}

async function refused(bytes: Uint8Array, sent: Changes): Promise<void> {
  const items: StreamItem[] = [];
  await assert.rejects(async () => {
    for await (const item of decodeStream(inPieces(bytes, 64))) items.push(item);
  }, ThinError);
  const told = toldBy(items);
  assert.deepEqual(told, placed(sent).slice(0, told.length));
}

async function read(pieces: AsyncIterable<Uint8Array> | readonly Uint8Array[]): Promise<StreamItem[]> {
  const items: StreamItem[] = [];
  for await (const item of decodeStream(Symbol.asyncIterator in pieces ? pieces : each(pieces)))
    items.push(item);
  return items;
}

async function* each(pieces: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield await Promise.resolve(piece);
}

function inPieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += length) pieces.push(bytes.subarray(at, at + length));
  return each(pieces);
}
