import type { DeviceStatus } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import type { Progress } from '../host/archive.js';
import { framedChanges, type Change } from './changes.js';
import { isZero } from '../format/is-zero.js';
import { changed, digestOf, mapped } from './device-digest.js';
import type { PoolAccess } from './pool-access.js';
import { StillDevice } from './still-device.js';
import { StreamEncoder } from './stream-encoder.js';
import type { StreamHeader, StreamPoint } from './stream-format.js';

export interface SendRequest {
  readonly name: string;
  /** Only what differs from this device is sent. Default: everything. */
  readonly since?: string | undefined;
  /** Where a stream was cut off that goes on with this one. Default: the beginning. */
  readonly from?: StreamPoint | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Hears what the device, or the one that it is compared with, lacks (`PoolInfo.lacks`). */
  readonly onLacks?: ((text: string) => void) | undefined;
}

/** Makes the stream of a device, or of what changed in it. */
export class Sender {
  readonly #access: PoolAccess;
  readonly #request: SendRequest;
  readonly #encoder = new StreamEncoder();

  constructor(access: PoolAccess, request: SendRequest) {
    this.#access = access;
    this.#request = request;
  }

  /**
   * The device is held still while the stream is read; leaving the loop lets it go. Errors: not-found;
   * invalid-argument (`since` is larger; the stream cannot go on from `from`); busy, damaged, closed.
   */
  async *stream(): AsyncGenerator<Uint8Array> {
    const { name, since, onLacks } = this.#request;
    const { blockSize } = await this.#access.call('pool.info', {});
    const still = await StillDevice.hold(this.#access, name);
    if (still.lacks !== undefined) onLacks?.(still.lacks);
    try {
      if (since === undefined) {
        yield* this.#encode(still, headerOf(still.device, null), mapped(still, blockSize));
        return;
      }
      const earlier = await StillDevice.hold(this.#access, since);
      try {
        yield* this.#changes(earlier, still, blockSize);
      } finally {
        await earlier.release();
      }
    } finally {
      await still.release();
    }
  }

  async *#changes(earlier: StillDevice, still: StillDevice, blockSize: number): AsyncGenerator<Uint8Array> {
    refuseLarger(earlier.device, still.device);
    const { signal } = this.#request;
    const digest = await digestOf(earlier, { size: earlier.device.size, blockSize, signal });
    const header = headerOf(still.device, { name: earlier.device.name, digest });
    yield* this.#encode(still, header, changed(this.#access, earlier, still, blockSize));
  }

  async *#encode(
    still: StillDevice,
    header: StreamHeader,
    changes: AsyncIterable<Change>,
  ): AsyncGenerator<Uint8Array> {
    const { from, signal, onProgress } = this.#request;
    const encoder = this.#encoder;
    yield* encoder.begin(header);
    let skipping = from !== undefined;
    for await (const change of framedChanges(changes, header.size)) {
      signal?.throwIfAborted();
      const frame = await this.#frame(still, change, header.base !== null);
      onProgress?.({ done: change.end, total: header.size });
      if (frame === undefined) continue;
      if (!skipping) yield* frame;
      else if (from !== undefined && encoder.point.offset >= from.offset) {
        requireSame(encoder.point, from, header);
        yield* encoder.resume();
        skipping = false;
      }
    }
    if (skipping && from !== undefined) requireSame(encoder.point, from, header);
    yield* encoder.end();
  }

  /** Undefined where nothing is to be said: zeroes of a device that is all zeroes at first. */
  async #frame(
    still: StillDevice,
    { kind, begin, end }: Change,
    hasEarlier: boolean,
  ): Promise<readonly Uint8Array[] | undefined> {
    if (kind === 'gone') return this.#encoder.zero(begin, end - begin);
    const bytes = Buffer.allocUnsafe(end - begin);
    await still.read(begin, bytes);
    if (!isZero(bytes)) return this.#encoder.data(begin, bytes);
    return hasEarlier ? this.#encoder.zero(begin, end - begin) : undefined;
  }
}

function headerOf(
  { name, size, kind, filesystem, content, labels }: DeviceStatus,
  base: StreamHeader['base'],
): StreamHeader {
  return { name, size, filesystem, content, labels, kind: kind === 'image' ? 'image' : 'snapshot', base };
}

function refuseLarger(earlier: DeviceStatus, device: DeviceStatus): void {
  if (earlier.size > device.size)
    throw new ThinError(
      'invalid-argument',
      `${earlier.name} is larger than ${device.name}, and devices do not shrink; send ${device.name} without --since`,
      { details: { device: earlier.name } },
    );
}

function requireSame(here: StreamPoint, from: StreamPoint, { name }: StreamHeader): void {
  if (here.offset === from.offset && here.sum === from.sum) return;
  throw new ThinError(
    'invalid-argument',
    `${name} or the device in --since has changed since the stream was cut off, so the stream cannot continue; send it from its beginning`,
    { details: { device: name } },
  );
}
