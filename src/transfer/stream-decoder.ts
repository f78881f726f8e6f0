import { ThinError } from '../errors/thin-error.js';
import { ByteSource } from './byte-source.js';
import {
  BODY_LIMITS,
  chainSum,
  FIRST_SUM,
  FRAME,
  FRAME_HEAD,
  MAGIC,
  MAGIC_BYTES,
  STREAM_VERSION,
  SUM_BYTES,
  unpackHeader,
  unpackOffset,
  type FrameKind,
  type StreamHeader,
  type StreamPoint,
} from './stream-format.js';

/** What a stream tells, each piece whole and as it was sent. `point`: how far it has come with it. */
export type StreamItem =
  | { readonly kind: 'header'; readonly header: StreamHeader; readonly point: StreamPoint }
  /** What lies before was told by an earlier stream. */
  | { readonly kind: 'resume'; readonly point: StreamPoint }
  | {
      readonly kind: 'data';
      readonly offset: number;
      readonly bytes: Uint8Array;
      readonly point: StreamPoint;
    }
  | { readonly kind: 'zero'; readonly offset: number; readonly length: number; readonly point: StreamPoint }
  | { readonly kind: 'end'; readonly point: StreamPoint };

const KINDS = new Set<number>(Object.values(FRAME));

/**
 * Reads a stream, first its header and last its end. Nothing is handed on that differs from what was sent,
 * stands in another place, or lies outside the device.
 * @throws ThinError invalid-argument (no such stream), wrong-version, damaged (it was cut off or changed),
 *   and what the source throws
 */
export async function* decodeStream(source: AsyncIterable<Uint8Array>): AsyncGenerator<StreamItem> {
  const bytes = new ByteSource(source);
  try {
    await readMagic(bytes);
    const order = new Order();
    for (let sum = FIRST_SUM; ;) {
      const at = bytes.offset;
      const frame = await readFrame(bytes, sum);
      const item = order.next(frame, at);
      sum = item.point.sum;
      yield item;
      if (item.kind === 'end') break;
    }
    if (!(await bytes.isAtEnd())) throw changed(bytes.offset, 'it goes on behind its end');
  } finally {
    await bytes.close();
  }
}

async function readMagic(bytes: ByteSource): Promise<void> {
  const magic = await bytes.take(MAGIC_BYTES);
  if (magic === undefined && bytes.offset === 0)
    throw new ThinError(
      'invalid-argument',
      'there is nothing to receive; look at the message of thinfuse send on the other side',
    );
  if (magic?.subarray(0, MAGIC.length).equals(MAGIC) !== true)
    throw new ThinError(
      'invalid-argument',
      'this is not a stream of thinfuse send; give its output, unpacked',
    );
  const version = magic.readUInt32LE(MAGIC.length);
  if (version !== STREAM_VERSION)
    throw new ThinError(
      'wrong-version',
      `the stream is of version ${version}, and this program reads ${STREAM_VERSION}; use the same thinfuse on both sides`,
    );
}

interface Frame {
  readonly kind: FrameKind;
  readonly body: Buffer;
  readonly sum: string;
}

async function readFrame(bytes: ByteSource, before: string): Promise<Frame> {
  const at = bytes.offset;
  const head = await bytes.take(FRAME_HEAD);
  if (head === undefined) throw cut(bytes.offset);
  const kind = head.readUInt8();
  if (!isFrameKind(kind)) throw changed(at, `there is no frame of kind ${kind}`);
  const length = head.readUInt32LE(1);
  const { least, most } = BODY_LIMITS[kind];
  if (length < least || length > most) throw changed(at, 'a frame has an impossible length');
  const rest = await bytes.take(length + SUM_BYTES);
  if (rest === undefined) throw cut(bytes.offset);
  const body = rest.subarray(0, length);
  const sum = chainSum(before, [head, body]);
  if (rest.toString('hex', length) !== sum) throw changed(at, 'a sum does not fit the frames before it');
  return { kind, body, sum };
}

function isFrameKind(kind: number): kind is FrameKind {
  return KINDS.has(kind);
}

/** Which frame may follow which, and where. */
class Order {
  #header: StreamHeader | undefined;
  #isFirstChange = true;
  #offset = 0;

  next({ kind, body, sum }: Frame, at: number): StreamItem {
    if (kind === FRAME.header) {
      const header = unpackHeader(body);
      if (header === undefined || this.#header !== undefined) throw changed(at, 'its header is not valid');
      this.#header = header;
      return { kind: 'header', header, point: { offset: 0, sum } };
    }
    if (this.#header === undefined) throw changed(at, 'it does not begin with its header');
    switch (kind) {
      case FRAME.resume: {
        if (!this.#isFirstChange) throw changed(at, 'it goes on twice');
        this.#move(0, unpackOffset(body), at);
        return { kind: 'resume', point: { offset: this.#offset, sum: body.toString('hex', 8) } };
      }
      case FRAME.data: {
        const bytes = body.subarray(8);
        const offset = unpackOffset(body);
        this.#move(offset, bytes.length, at);
        return { kind: 'data', offset, bytes, point: { offset: this.#offset, sum } };
      }
      case FRAME.zero: {
        const [offset, length] = [unpackOffset(body), unpackOffset(body, 8)];
        this.#move(offset, length, at);
        return { kind: 'zero', offset, length, point: { offset: this.#offset, sum } };
      }
      case FRAME.end:
        return { kind: 'end', point: { offset: this.#offset, sum } };
    }
  }

  #move(offset: number, length: number, at: number): void {
    const end = offset + length;
    if (length === 0 || offset < this.#offset || !(end <= (this.#header?.size ?? 0)))
      throw changed(at, 'a change lies outside the device or before another');
    this.#offset = end;
    this.#isFirstChange = false;
  }
}

function cut(at: number): ThinError {
  return new ThinError('damaged', `the stream was cut off at byte ${at}, before its end; send it again`, {
    details: { offset: at },
  });
}

function changed(at: number, problem: string): ThinError {
  return new ThinError(
    'damaged',
    `the stream is not as it was sent: at byte ${at}, ${problem}; send it again`,
    {
      details: { offset: at },
    },
  );
}
