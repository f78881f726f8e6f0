import {
  chainSum,
  FIRST_SUM,
  FRAME,
  FRAME_HEAD,
  MAGIC,
  MAGIC_BYTES,
  packHeader,
  packOffset,
  STREAM_VERSION,
  type FrameKind,
  type StreamHeader,
  type StreamPoint,
} from './stream-format.js';

/** Makes the frames of one stream, in order; what they hold is the caller's until they are written. */
export class StreamEncoder {
  #sum = FIRST_SUM;
  #headerSum = FIRST_SUM;
  #offset = 0;

  /** How far it has come. */
  get point(): StreamPoint {
    return { offset: this.#offset, sum: this.#sum };
  }

  begin(header: StreamHeader): readonly Uint8Array[] {
    const magic = Buffer.alloc(MAGIC_BYTES);
    MAGIC.copy(magic);
    magic.writeUInt32LE(STREAM_VERSION, MAGIC.length);
    const frame = this.#frame(FRAME.header, packHeader(header));
    this.#headerSum = this.#sum;
    return [magic, ...frame];
  }

  /** Stands behind the header in place of all frames up to now. */
  resume(): readonly Uint8Array[] {
    const { offset, sum } = this.point;
    this.#sum = this.#headerSum;
    const frame = this.#frame(FRAME.resume, packOffset(offset), Buffer.from(sum, 'hex'));
    this.#sum = sum;
    return frame;
  }

  /** `bytes`: 1 to MAX_DATA of them; `offset`: not before the end of the change before. */
  data(offset: number, bytes: Uint8Array): readonly Uint8Array[] {
    this.#offset = offset + bytes.length;
    return this.#frame(FRAME.data, packOffset(offset), bytes);
  }

  zero(offset: number, length: number): readonly Uint8Array[] {
    this.#offset = offset + length;
    return this.#frame(FRAME.zero, packOffset(offset), packOffset(length));
  }

  end(): readonly Uint8Array[] {
    return this.#frame(FRAME.end);
  }

  #frame(kind: FrameKind, ...body: readonly Uint8Array[]): readonly Uint8Array[] {
    const head = Buffer.alloc(FRAME_HEAD);
    head.writeUInt8(kind);
    head.writeUInt32LE(
      body.reduce((sum, { length }) => sum + length, 0),
      1,
    );
    this.#sum = chainSum(this.#sum, [head, ...body]);
    return [head, ...body, Buffer.from(this.#sum, 'hex')];
  }
}
