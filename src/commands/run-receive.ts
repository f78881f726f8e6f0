import { formatBinarySize } from '../config/sizes.js';
import type { Caller, DeviceStatus } from '../api/operations.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { parseDeviceName } from '../format/device-name.js';
import { ChildProcessExec } from '../host/exec.js';
import { decodeStream, type StreamItem } from '../transfer/stream-decoder.js';
import { FIRST_SUM, formatPoint, type StreamHeader, type StreamPoint } from '../transfer/stream-format.js';
import { withDevices } from './connect.js';
import type { Context } from './context.js';
import { digestOf } from './device-digest.js';
import { interruptible } from './interrupt.js';
import { PoolTarget } from './pool-target.js';
import { note, printResult } from './output.js';
import { partialName, partialOf } from './partial-name.js';
import { ownMaker, passingName } from './passing-devices.js';
import { withProgress } from './progress.js';
import type { ReceiveFlags } from './receive-command.js';
import { withStill } from './still-device.js';

export async function runReceive(
  context: Context,
  given: string | undefined,
  flags: ReceiveFlags,
): Promise<void> {
  if (process.stdin.isTTY)
    throw new ThinError(
      'invalid-argument',
      'a stream is not typed; redirect what thinfuse send wrote into this command',
    );
  await interruptible(async (signal) => {
    // Whoever waits for bytes hears of it.
    signal.addEventListener('abort', () => process.stdin.destroy(toThinError(signal.reason)), { once: true });
    const items = decodeStream(process.stdin as AsyncIterable<Uint8Array>);
    const header = headerIn(await items.next());
    const name = parseDeviceName(given ?? header.name);
    const base = baseName(header, flags);
    // A name that is too long for a part is refused before there is one.
    if (flags.keepPartial === true) partialName(name, { offset: header.size, sum: FIRST_SUM });
    await withDevices(context, async (caller) => {
      const receiver = new Receiver(context, caller, { name, base, header, signal });
      const written = await receiver.run(items, flags.keepPartial === true);
      printResult(
        context,
        { name, size: header.size, written, base: base ?? null },
        `${name}: ${formatBinarySize(written)} received`,
      );
    });
  });
}

function headerIn(first: IteratorResult<StreamItem, unknown>): StreamHeader {
  if (first.done !== true && first.value.kind === 'header') return first.value.header;
  throw new ThinError('internal', 'the stream was read without its header');
}

/** Errors: invalid-argument. */
function baseName({ base, name }: StreamHeader, flags: ReceiveFlags): string | undefined {
  if (base !== null) return parseDeviceName(flags.base ?? base.name, { allowBase: true });
  if (flags.base === undefined) return undefined;
  throw new ThinError(
    'invalid-argument',
    `the stream has all of ${name} and changes no ${flags.base}; leave --base out`,
  );
}

interface Wanted {
  readonly name: string;
  readonly base: string | undefined;
  readonly header: StreamHeader;
  readonly signal: AbortSignal;
}

/** Builds the device under a passing name, and gives it its own when it is complete. */
class Receiver {
  readonly #context: Context;
  readonly #caller: Caller;
  readonly #wanted: Wanted;
  readonly #target: PoolTarget;
  readonly #passing = passingName();
  /** What the device is called. */
  #named = this.#passing;
  /** How far the device has come. */
  #point: StreamPoint | undefined;
  #written = 0;

  constructor(context: Context, caller: Caller, wanted: Wanted) {
    this.#context = context;
    this.#caller = caller;
    this.#wanted = wanted;
    this.#target = new PoolTarget(caller, new ChildProcessExec());
  }

  /** Bytes of data that were written. All of it or nothing, or what came before a cut. */
  async run(items: AsyncGenerator<StreamItem>, keepPartial: boolean): Promise<number> {
    const { name, header } = this.#wanted;
    const partial = await this.#begin();
    try {
      await this.#apply(items, partial);
      const maker = await ownMaker();
      await this.#caller.call('device.rename', { name: this.#passing, to: name, maker });
      this.#named = name;
      if (header.kind === 'image') await this.#caller.call('device.seal', { name, maker });
      else await this.#caller.call('device.finish', { name, maker });
      return this.#written;
    } catch (error) {
      await this.#leave(keepPartial || partial !== undefined);
      throw explained(error, name);
    }
  }

  /** Returns how far a part has come that is there from before. */
  async #begin(): Promise<StreamPoint | undefined> {
    const { name, header, base } = this.#wanted;
    const devices = await this.#caller.call('device.list', {});
    if (devices.some((device) => device.name === name))
      throw new ThinError(
        'exists',
        `there is a device ${name} already; remove it, or receive under another name: thinfuse receive NAME`,
        { details: { device: name } },
      );
    for (const device of devices) {
      const point = partialOf(name, device.name);
      if (point === undefined) continue;
      await this.#caller.call('device.rename', {
        name: device.name,
        to: this.#passing,
        maker: await ownMaker(),
      });
      this.#point = point;
      return point;
    }
    const { size, filesystem } = header;
    const origin = devices.find((device) => device.name === base);
    if (base !== undefined && origin === undefined)
      throw new ThinError(
        'not-found',
        `the stream changes ${base}, and this pool has no such device; receive that first, say what it is called here with --base, or send without --since`,
        { details: { device: base } },
      );
    if (origin !== undefined && origin.size > size) throw wrongBase(origin.name);
    await this.#target.create({ name: this.#passing, origin: base, size, filesystem, kind: 'snapshot' });
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
    const { signal, header } = this.#wanted;
    const { blockSize } = await this.#caller.call('pool.info', {});
    // Of the device itself, which nobody changes meanwhile.
    const digest = await withStill(this.#caller, this.#passing, (still) =>
      digestOf(still, { size, blockSize, signal }),
    );
    if (digest !== header.base?.digest) throw wrongBase(name);
  }

  async #apply(items: AsyncGenerator<StreamItem>, partial: StreamPoint | undefined): Promise<void> {
    const { signal, header } = this.#wanted;
    const image = await this.#target.open(this.#passing);
    let place = partial;
    try {
      await withProgress(this.#context, 'receiving', async (onProgress) => {
        for await (const item of items) {
          signal.throwIfAborted();
          if (item.kind === 'end' && place !== undefined) throw otherStream(this.#wanted.name);
          if (item.kind === 'header' || item.kind === 'end') continue;
          if (place !== undefined || item.kind === 'resume') {
            place = passedOver(place, item, this.#wanted.name);
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
      });
    } finally {
      await image.close().catch((error: unknown) => {
        // Nobody knows how much of it is durable.
        this.#point = undefined;
        throw error;
      });
    }
  }

  async #leave(keep: boolean): Promise<void> {
    const { name, header } = this.#wanted;
    const point = this.#point;
    try {
      if (keep && point !== undefined) {
        await this.#caller.call('device.rename', {
          name: this.#named,
          to: partialName(name, point),
          maker: await ownMaker(),
          keep: true,
        });
        const since = header.base === null ? '' : ` --since ${header.base.name}`;
        note(
          `what came is kept as ${partialName(name, point)}; go on with: thinfuse send ${header.name}${since} --resume ${formatPoint(point)}`,
        );
      } else await this.#target.remove(this.#named);
    } catch (error) {
      note(
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
      `the stream goes on with a part of ${name} that is not here; send it from its beginning, without --resume`,
      { details: { device: name } },
    );
  if (item.kind !== 'resume' && point.offset < place.offset) return place;
  if (point.offset !== place.offset || point.sum !== place.sum) throw otherStream(name);
  return undefined;
}

function otherStream(name: string): ThinError {
  return new ThinError(
    'invalid-argument',
    `the part of ${name} that is here is not of this stream; remove it (thinfuse ls shows it as ${name}.partial-…), or go on with the one that was cut off`,
    { details: { device: name } },
  );
}

function wrongBase(base: string): ThinError {
  return new ThinError(
    'invalid-argument',
    `${base} is not here what it is on the other side, so the changes do not fit it; send without --since, or name the right one with --base`,
    { details: { device: base } },
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
