import { parentPort } from 'node:worker_threads';
import { toThinError } from '../errors/thin-error.js';
import type { RemoteImage } from '../format/remote-image.js';
import type { LayersRequest, RemoteRequest } from '../pool/remote-source.js';
import { Litter } from '../threads/collect-garbage.js';
import { BlockCodec } from './block-codec.js';
import { findLayers } from './find-layers.js';
import { LazyImage } from './lazy-image.js';
import type { LazyReply, LazyRequest, LazyTask } from './lazy-protocol.js';
import { OpenImages } from './open-images.js';
import { TurnTable } from './turns.js';

/** Unused images whose manifest and indexes stay in memory. */
const IMAGES = 32;
/** Requests to stores at once, and to one image's. */
const turns = new TurnTable({ most: 36, ownMost: 12 });
const images = new OpenImages<LazyImage>(IMAGES);
/** Of each block: as it came, put together, unpacked. */
const litter = new Litter();

/** The same image with the same settings is opened once. */
function keyOf({ url, digest, keyFile, note, settings }: RemoteImage): string {
  return JSON.stringify([url, digest, keyFile, note, settings]);
}

function post(reply: LazyReply, moved: ArrayBuffer[] = []): void {
  parentPort?.postMessage(reply, moved);
}

async function run(id: number, task: LazyTask): Promise<void> {
  if (task.kind === 'find') {
    await find(id, task.request);
    return;
  }
  if (task.kind === 'layers') {
    await layers(id, task.request);
    return;
  }
  const key = keyOf(task.image);
  await images.use(
    key,
    () => LazyImage.open(task.image),
    (image) => answer(id, task, image),
  );
  if (task.kind === 'release') images.close(key);
  post({ id, kind: 'done' });
}

/** What was found stays open, for the device that is made of it next. */
async function find(id: number, request: RemoteRequest): Promise<void> {
  const { image, stored, isHeld } = await LazyImage.find(request);
  const { url, digest } = image.remote;
  const opened = images.use(
    keyOf(image.remote),
    () => Promise.resolve(image),
    () => image.taken,
  );
  // The reader of its blocks gets the error.
  opened.catch(() => undefined);
  post({ id, kind: 'found', found: { url, digest, isHeld, device: stored.manifest.device } });
  post({ id, kind: 'done' });
}

/** They stay open, for the devices that are made of them next. */
async function layers(id: number, request: LayersRequest): Promise<void> {
  const opened = await findLayers(request);
  for (const image of opened?.images ?? [])
    void images.use(
      keyOf(image.remote),
      () => Promise.resolve(image),
      (kept) => {
        // It was open already.
        if (kept !== image) image.close();
        return Promise.resolve();
      },
    );
  post({ id, kind: 'layers', found: opened?.found });
  post({ id, kind: 'done' });
}

async function answer(
  id: number,
  task: Exclude<LazyTask, { kind: 'find' | 'layers' }>,
  image: LazyImage,
): Promise<void> {
  switch (task.kind) {
    case 'changes': {
      const { below } = task;
      const compare = async (other?: LazyImage): Promise<void> => {
        for await (const pieces of image.changes(other, task)) post({ id, kind: 'pieces', pieces });
      };
      if (below === undefined) await compare();
      else await images.use(keyOf(below), () => LazyImage.open(below), compare);
      break;
    }
    case 'start':
      post({ id, kind: 'some', blocks: await image.startBlocks() });
      break;
    case 'fetch':
      await image.fetch(task, turns.of(keyOf(task.image), task.isUrgent), ({ block, bytes }) => {
        const { length } = bytes;
        post({ id, kind: 'bytes', block, bytes }, [bytes.buffer as ArrayBuffer]);
        litter.leave(2 * length);
      });
      break;
    case 'hold':
      await image.hold();
      break;
    case 'release':
      await image.release();
      break;
  }
}

await BlockCodec.ready();
parentPort?.on('message', ({ id, task }: LazyRequest) => {
  run(id, task).catch((error: unknown) => {
    const { code, message } = toThinError(error);
    post({ id, kind: 'failed', code, message });
  });
});
