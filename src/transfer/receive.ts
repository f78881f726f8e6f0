import { toThinError, ThinError } from '../errors/thin-error.js';
import type { DeviceStatus } from '../api/operations.js';
import { parseDeviceName } from '../format/device-name.js';
import type { Progress } from '../host/archive.js';
import { digestOf } from './device-digest.js';
import { partialName, partialOf } from './partial-name.js';
import { ownMaker, passingName } from './passing-devices.js';
import type { PoolAccess } from './pool-access.js';
import { PoolTarget } from './pool-target.js';
import { withStill } from './still-device.js';
import { decodeStream, type StreamItem } from './stream-decoder.js';
import { FIRST_SUM, formatPoint, type StreamHeader, type StreamPoint } from './stream-format.js';

export interface ReceiveRequest {
  /** What the device is called here. Default: what it is called there. */
  readonly name?: string | undefined;
  /** The device here that has the content of the sender's `since`. Default: the one of that name. */
  readonly since?: string | undefined;
  /** Keeps what came before a cut, to go on from there. Default: false. */
  readonly keepPartial?: boolean | undefined;
}

export interface ReceiveOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Hears how to go on with a part that is kept, and what could not be removed. */
  readonly onNote?: ((text: string) => void) | undefined;
}

export interface Received {
  readonly name: string;
  /** Bytes. */
  readonly size: number;
  /** Bytes of data that were written. */
  readonly written: number;
  /** The earlier device that the changes were applied to; null: the stream has all of the device. */
  readonly base: string | null;
}

interface Wanted {
  readonly name: string;
  readonly earlier: string | undefined;
  readonly header: StreamHeader;
  readonly keepPartial: boolean;
}

/** A stream of `Sender` whose header has come, on its way into a pool. */
export class IncomingStream {
  readonly #items: AsyncGenerator<StreamItem>;
  readonly #wanted: Wanted;

  private constructor(items: AsyncGenerator<StreamItem>, wanted: Wanted) {
    this.#items = items;
    this.#wanted = wanted;
  }

  /** Reads the header. Errors: invalid-argument (a name; no stream of thinfuse), wrong-version, closed. */
  static async begin(input: AsyncIterable<Uint8Array>, request: ReceiveRequest): Promise<IncomingStream> {
    const items = decodeStream(input);
    try {
      const header = headerIn(await items.next());
      const name = parseDeviceName(request.name ?? header.name);
      const earlier = earlierName(header, request.since);
      const keepPartial = request.keepPartial === true;
      // A name that is too long for a part is refused before there is one.
      if (keepPartial) partialName(name, { offset: header.size, sum: FIRST_SUM });
      return new IncomingStream(items, { name, earlier, header, keepPartial });
    } catch (error) {
      await items.return(undefined);
      throw error;
    }
  }

  /**
   * Makes the device: all of it or nothing, or what came before a cut. Errors: exists; not-found (the earlier
   * device); invalid-argument (its content is another; the stream is damaged); no-space, closed.
   */
  async into(access: PoolAccess, options: ReceiveOptions = {}): Promise<Received> {
    const { name, earlier, header } = this.#wanted;
    try {
      const written = await new Receiver(access, this.#wanted, options).run(this.#items);
      return { name, size: header.size, written, base: earlier ?? null };
    } finally {
      await this.#items.return(undefined);
    }
  }
}

function headerIn(first: IteratorResult<StreamItem, unknown>): StreamHeader {
  if (first.done !== true && first.value.kind === 'header') return first.value.header;
  throw new ThinError('internal', 'the stream was read without its header');
}

/** Errors: invalid-argument. */
function earlierName({ base, name }: StreamHeader, given: string | undefined): string | undefined {
  if (base !== null) return parseDeviceName(given ?? base.name, { allowBase: true });
  if (given === undefined) return undefined;
  throw new ThinError(
    'invalid-argument',
    `the stream has the whole device ${name}, and not changes of ${given}; leave --since out`,
  );
}

/** Builds the device under a passing name, and gives it its own when it is complete. */
class Receiver {
  readonly #access: PoolAccess;
  readonly #wanted: Wanted;
  readonly #options: ReceiveOptions;
  readonly #target: PoolTarget;
  readonly #passing = passingName();
  /** What the device is called. */
  #named = this.#passing;
  /** How far the device has come. */
  #point: StreamPoint | undefined;
  #written = 0;

  constructor(access: PoolAccess, wanted: Wanted, options: ReceiveOptions) {
    this.#access = access;
    this.#wanted = wanted;
    this.#options = options;
    this.#target = new PoolTarget(access);
  }

  /** Bytes of data that were written. All of it or nothing, or what came before a cut. */
  async run(items: AsyncGenerator<StreamItem>): Promise<number> {
    const { name, header, keepPartial } = this.#wanted;
    const partial = await this.#begin();
    try {
      await this.#apply(items, partial);
      const maker = await ownMaker();
      await this.#access.call('device.rename', { name: this.#passing, to: name, maker });
      this.#named = name;
      const { labels = {} } = header;
      if (Object.keys(labels).length > 0) await this.#access.call('device.labels', { name, labels, maker });
      await this.#target.finish({ name, kind: header.kind });
      return this.#written;
    } catch (error) {
      await this.#leave(keepPartial || partial !== undefined);
      throw explained(error, name);
    }
  }

  /** Returns how far a part has come that is there from before. */
  async #begin(): Promise<StreamPoint | undefined> {
    const { name, header, earlier } = this.#wanted;
    const devices = await this.#access.call('device.list', {});
    if (devices.some((device) => device.name === name))
      throw new ThinError(
        'exists',
        `there is a device ${name} already; remove it, or receive under another name: thinfuse receive NAME`,
        { details: { device: name } },
      );
    for (const device of devices) {
      const point = partialOf(name, device.name);
      if (point === undefined) continue;
      await this.#access.call('device.rename', {
        name: device.name,
        to: this.#passing,
        maker: await ownMaker(),
      });
      this.#point = point;
      return point;
    }
    const { size, filesystem, content } = header;
    const origin = devices.find((device) => device.name === earlier);
    if (earlier !== undefined && origin === undefined)
      throw new ThinError(
        'not-found',
        `the stream changes ${earlier}, and this pool has no such device; receive that first, name the device with its content with receive --since, or send without --since`,
        { details: { device: earlier } },
      );
    if (origin !== undefined && origin.size > size) throw differs(origin.name);
    const made = { size, filesystem, content, kind: 'snapshot' } as const;
    await this.#target.create({ name: this.#passing, origin: earlier, ...made });
    try {
      if (origin !== undefined) await this.#requireSame(origin);
    } catch (error) {
      await this.#target.remove(this.#passing);
      throw error;
    }
    return undefined;
  }

  /** What the device was made of is what the sender compared with. */
  async #requireSame({ name, size }: DeviceStatus): Promise<void> {
    const { header } = this.#wanted;
    const { signal } = this.#options;
    const { blockSize } = await this.#access.call('pool.info', {});
    // Of the device itself, which no other process changes meanwhile.
    const digest = await withStill(this.#access, this.#passing, (still) =>
      digestOf(still, { size, blockSize, signal }),
    );
    if (digest !== header.base?.digest) throw differs(name);
  }

  async #apply(items: AsyncGenerator<StreamItem>, partial: StreamPoint | undefined): Promise<void> {
    const { header, name } = this.#wanted;
    const { signal, onProgress } = this.#options;
    const image = await this.#target.open(this.#passing);
    let place = partial;
    try {
      for await (const item of items) {
        signal?.throwIfAborted();
        if (item.kind === 'end' && place !== undefined) throw otherStream(name);
        if (item.kind === 'header' || item.kind === 'end') continue;
        if (place !== undefined || item.kind === 'resume') {
          place = passedOver(place, item, name);
          continue;
        }
        if (item.kind === 'zero') await image.zero(item.offset, item.length);
        else {
          await image.write(item.offset, item.bytes);
          this.#written += item.bytes.length;
        }
        this.#point = item.point;
        onProgress?.({ done: item.point.offset, total: header.size });
      }
    } finally {
      await image.close().catch((error: unknown) => {
        // It is unknown how much of it is durable.
        this.#point = undefined;
        throw error;
      });
    }
  }

  async #leave(keep: boolean): Promise<void> {
    const { name, header } = this.#wanted;
    const { onNote } = this.#options;
    const point = this.#point;
    try {
      if (keep && point !== undefined) {
        await this.#access.call('device.rename', {
          name: this.#named,
          to: partialName(name, point),
          maker: await ownMaker(),
          keep: true,
        });
        const since = header.base === null ? '' : ` --since ${header.base.name}`;
        onNote?.(
          `the received part is kept as ${partialName(name, point)}; go on with: thinfuse send ${header.name}${since} --resume ${formatPoint(point)}`,
        );
      } else await this.#target.remove(this.#named);
    } catch (error) {
      onNote?.(
        `${this.#named} is left, is marked so, and goes with the next start or doctor --fix: ${toThinError(error).message}`,
      );
    }
  }
}

/** Where the part ends and the stream goes on from; undefined when it is there. */
function passedOver(
  place: StreamPoint | undefined,
  item: Exclude<StreamItem, { kind: 'header' | 'end' }>,
  name: string,
): StreamPoint | undefined {
  const { point } = item;
  if (place === undefined)
    throw new ThinError(
      'not-found',
      `the stream continues a part of ${name} that this pool does not have; send it from its beginning, without --resume`,
      { details: { device: name } },
    );
  if (item.kind !== 'resume' && point.offset < place.offset) return place;
  if (point.offset !== place.offset || point.sum !== place.sum) throw otherStream(name);
  return undefined;
}

function otherStream(name: string): ThinError {
  return new ThinError(
    'invalid-argument',
    `the pool has a part of ${name} from another stream; remove it (thinfuse ls shows it as ${name}.partial-…), or continue that stream`,
    { details: { device: name } },
  );
}

function differs(earlier: string): ThinError {
  return new ThinError(
    'invalid-argument',
    `${earlier} does not have the content here that it has on the other side, so the changes do not fit it; send without --since, or name the right device with receive --since`,
    { details: { device: earlier } },
  );
}

function explained(error: unknown, name: string): unknown {
  if (!(error instanceof ThinError) || error.code !== 'no-space') return error;
  return new ThinError(
    'no-space',
    `the pool ran full while ${name} was received; extend it (thinfuse extend), or remove something first`,
    { cause: error, details: { device: name } },
  );
}
