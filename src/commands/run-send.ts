import { isatty } from 'node:tty';
import type { Caller, DeviceStatus } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import { deltaRanges } from '../thin-tools/delta-ranges.js';
import { framedChanges, type Change } from '../transfer/changes.js';
import { isZero } from '../transfer/content-digest.js';
import { StreamEncoder } from '../transfer/stream-encoder.js';
import { parsePoint, type StreamHeader, type StreamPoint } from '../transfer/stream-format.js';
import { withDevices } from './connect.js';
import type { Context } from './context.js';
import { digestOf, mapped } from './device-digest.js';
import { interruptible } from './interrupt.js';
import { withProgress } from './progress.js';
import type { SendFlags } from './send-command.js';
import { standardOutput } from './standard-stream.js';
import { withStill, type StillDevice } from './still-device.js';

export async function runSend(context: Context, name: string, flags: SendFlags): Promise<void> {
  if (isatty(1))
    throw new ThinError(
      'invalid-argument',
      'a stream is not written to a terminal; redirect the output into thinfuse receive, ssh or a file',
    );
  const from = flags.resume === undefined ? undefined : parsePoint(flags.resume);
  await interruptible((signal) =>
    withDevices(context, async (caller) => {
      const { blockSize } = await caller.call('pool.info', {});
      await withStill(caller, name, async (still) => {
        if (flags.since === undefined) {
          const changes = mapped(still, blockSize);
          await send(context, { still, header: headerOf(still.device, null), changes, from, signal });
          return;
        }
        await withStill(caller, flags.since, async (base) => {
          refuseLarger(base.device, still.device);
          const digest = await digestOf(base, { size: base.device.size, blockSize, signal });
          const header = headerOf(still.device, { name: base.device.name, digest });
          const changes = changed(caller, base.name, still.name, blockSize);
          await send(context, { still, header, changes, from, signal });
        });
      });
    }),
  );
}

function headerOf({ name, size, kind, filesystem }: DeviceStatus, base: StreamHeader['base']): StreamHeader {
  return { name, size, filesystem, kind: kind === 'image' ? 'image' : 'snapshot', base };
}

function refuseLarger(base: DeviceStatus, device: DeviceStatus): void {
  if (base.size > device.size)
    throw new ThinError(
      'invalid-argument',
      `${base.name} is larger than ${device.name}, and devices do not shrink; send ${device.name} without --since`,
      { details: { device: base.name } },
    );
}

async function* changed(
  caller: Caller,
  left: string,
  right: string,
  blockSize: number,
): AsyncGenerator<Change> {
  const text = caller.text('metadata.delta', { left, right, format: 'json', changesOnly: true });
  for await (const { kind, begin, length } of deltaRanges(text))
    if (kind !== 'same')
      yield {
        kind: kind === 'left_only' ? 'gone' : 'data',
        begin: begin * blockSize,
        end: (begin + length) * blockSize,
      };
}

interface Sending {
  readonly still: StillDevice;
  readonly header: StreamHeader;
  readonly changes: AsyncIterable<Change>;
  /** Changes up to there are not sent again. */
  readonly from: StreamPoint | undefined;
  readonly signal: AbortSignal;
}

async function send(context: Context, { still, header, changes, from, signal }: Sending): Promise<void> {
  const encoder = new StreamEncoder();
  await write(encoder.begin(header));
  let skipping = from !== undefined;
  await withProgress(context, 'sending', async (onProgress) => {
    for await (const change of framedChanges(changes, header.size)) {
      signal.throwIfAborted();
      const frame = await frameOf(encoder, still, change, header.base !== null);
      onProgress?.({ done: change.end, total: header.size });
      if (frame === undefined) continue;
      if (!skipping) await write(frame);
      else if (from !== undefined && encoder.point.offset >= from.offset) {
        requireSame(encoder.point, from, header);
        await write(encoder.resume());
        skipping = false;
      }
    }
  });
  if (skipping && from !== undefined) requireSame(encoder.point, from, header);
  await write(encoder.end());
}

/** Undefined where nothing is to be said: zeroes of a device that is all zeroes at first. */
async function frameOf(
  encoder: StreamEncoder,
  still: StillDevice,
  { kind, begin, end }: Change,
  hasBase: boolean,
): Promise<readonly Uint8Array[] | undefined> {
  if (kind === 'gone') return encoder.zero(begin, end - begin);
  const bytes = Buffer.allocUnsafe(end - begin);
  await still.read(begin, bytes);
  if (!isZero(bytes)) return encoder.data(begin, bytes);
  return hasBase ? encoder.zero(begin, end - begin) : undefined;
}

function requireSame(here: StreamPoint, from: StreamPoint, { name }: StreamHeader): void {
  if (here.offset === from.offset && here.sum === from.sum) return;
  throw new ThinError(
    'invalid-argument',
    `${name} or what it is compared with is not what it was when the stream was cut off, so nothing can go on from there; send it from its beginning`,
    { details: { device: name } },
  );
}

async function write(frame: readonly Uint8Array[]): Promise<void> {
  for (const bytes of frame) await standardOutput.stream(bytes);
}
