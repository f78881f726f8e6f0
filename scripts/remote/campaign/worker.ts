/**
 * One process of the campaign: worker.ts push|pull|remove|collect PORT ROUNDS; prints what came of them as
 * JSON. Pushes make their rounds; the others go on until their standard input ends.
 */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { toThinError } from '../../../src/errors/thin-error.js';
import { IMAGE_BLOCK } from '../../../src/format/remote-image.js';
import { BlockSeal } from '../../../src/remote/block-seal.js';
import { CodecPool } from '../../../src/remote/codec-pool.js';
import { Collection } from '../../../src/remote/collect.js';
import { HttpClient } from '../../../src/remote/http-client.js';
import { ImageReader } from '../../../src/remote/image-reader.js';
import { PullClaim } from '../../../src/remote/pull-claim.js';
import { FullPull } from '../../../src/remote/pull.js';
import { Push } from '../../../src/remote/push.js';
import { S3Store } from '../../../src/remote/s3-store.js';
import { RemoteDeviceModel } from '../../../test/support/remote-device.js';

const [work = '', port = '', rounds = ''] = process.argv.slice(2);
const store = new S3Store({
  url: 's3://bucket',
  bucket: 'bucket',
  prefix: '',
  endpoint: new URL(`http://127.0.0.1:${port}`),
  region: 'us-east-1',
  pathStyle: true,
  credentials: {
    get: () => Promise.resolve({ accessKeyId: 'key', secretAccessKey: 'secret' }),
    forget: () => undefined,
  },
  http: new HttpClient({ idleMs: 10_000, connections: 16 }),
  // Some requests fail for good.
  retry: { forMs: 60, firstMs: 5, mostMs: 20 },
});
/** Milliseconds between removals of a tag, at most. */
const REMOVE_MS = 1500;
const seal = new BlockSeal(undefined);
const codecs = new CodecPool(undefined, 1);
const { signal } = new AbortController();
const outcomes: Record<string, number> = {};
const maker = `worker-${process.pid}`;
const below = (count: number): number => Math.floor(Math.random() * count);
const anyTag = (): string => `tag-${below(3)}`;

const device = new RemoteDeviceModel(`device-${process.pid}`, 200);

async function push(): Promise<void> {
  // Few contents, so that one pushes what another has just let go of.
  for (let count = 0; count < 3; count++)
    device.write(
      below(20),
      createHash('shake256', { outputLength: IMAGE_BLOCK })
        .update(`${below(30)}`)
        .digest(),
    );
  device.start = below(2) === 0 ? [] : [below(20), below(20)];
  const parts = { store, source: device.source(), codecs, seal, signal, maker };
  // Its own push before has failed, and is gone on with; else each would leave what keeps all that it saw.
  const isGone = (other: string): Promise<boolean> => Promise.resolve(other === maker);
  const { image } = await new Push({ ...parts, isGone }).run(anyTag());
  device.notePushed(image);
}

/** All of it, some time after the claim; the tag may go meanwhile. */
async function pull(): Promise<void> {
  const reader = new ImageReader(store, seal);
  const about = { source: 'pull', maker: 'worker' };
  const claim = new PullClaim(reader, `${process.pid}-${below(1e9)}`, about);
  const tag = anyTag();
  try {
    const image = await claim.find(
      // By its digest, it is claimed in the other way.
      below(3) === 0
        ? { kind: 'digest', digest: (await reader.named({ kind: 'tag', tag })).digest }
        : { kind: 'tag', tag },
    );
    // Between the two notes the tag may go, and a collection may begin and end.
    await sleep(below(50));
    await claim.take(image);
    await sleep(below(50));
    for (let tries = 10; ; tries--)
      try {
        await new FullPull({ reader, image, codecs, signal, write: () => Promise.resolve() }).run();
        for (const { digest } of image.manifest.packs) await store.read('pack', digest);
        return;
      } catch (error) {
        const { code, message } = toThinError(error);
        if (code !== 'io' || tries === 0) throw new Error(`BROKEN: ${code}: ${message}`, { cause: error });
      }
  } finally {
    for (let tries = 10; tries > 0; tries--)
      if (
        await claim.end().then(
          () => true,
          () => false,
        )
      )
        break;
  }
}

const works: Readonly<Record<string, () => Promise<unknown>>> = {
  push,
  pull,
  remove: async () => {
    // So that tags live for a few pushes and pulls.
    await sleep(below(REMOVE_MS));
    await store.removeTag(anyTag());
  },
  collect: () => new Collection(store, { graceMs: 0, signal }).run(),
};
let isOver = false;
const isDone = (round: number): boolean => (work === 'push' ? round >= Number(rounds) : isOver);
process.stdin.on('end', () => (isOver = true)).resume();
for (let round = 0; !isDone(round); round++) {
  const outcome = await works[work]!().then(
    () => 'done',
    (error: unknown) =>
      error instanceof Error && error.message.startsWith('BROKEN') ? error.message : toThinError(error).code,
  );
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
}
await codecs.close();
store.close();
process.stdin.destroy();
console.log(JSON.stringify({ work, outcomes }));
