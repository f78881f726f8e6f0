/** One process of the campaign: worker.ts push|pull|remove|collect PORT ROUNDS; prints what came of them as JSON. */
import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { toThinError } from '../../../src/errors/thin-error.js';
import { IMAGE_BLOCK } from '../../../src/format/remote-image.js';
import { BlockSeal } from '../../../src/remote/block-seal.js';
import { Claims } from '../../../src/remote/claims.js';
import { CodecPool } from '../../../src/remote/codec-pool.js';
import { Collection } from '../../../src/remote/collect.js';
import { HttpClient } from '../../../src/remote/http-client.js';
import { ImageReader, refsOf } from '../../../src/remote/image-reader.js';
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
const seal = new BlockSeal(undefined);
const codecs = new CodecPool(undefined, 1);
const { signal } = new AbortController();
const outcomes: Record<string, number> = {};
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
  const parts = { store, source: device.source(), codecs, seal, signal, maker: 'worker' };
  const { image } = await new Push({ ...parts, isGone: () => Promise.resolve(false) }).run(anyTag());
  device.notePushed(image);
}

/** All of it, some time after the claim; the tag may go meanwhile. */
async function pull(): Promise<void> {
  const reader = new ImageReader(store, seal);
  const image = await reader.named({ kind: 'tag', tag: anyTag() });
  const claims = new Claims(store, 'pull', `${process.pid}-${below(1e9)}`, {
    source: 'pull',
    maker: 'worker',
  });
  const isThere = await claims.claim(refsOf(image, image.manifest));
  try {
    if (!isThere) throw new Error('leaving');
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
        await claims.end().then(
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
    await sleep(below(20));
    await store.removeTag(anyTag());
  },
  collect: () => new Collection(store, { graceMs: 0, signal }).run(),
};
for (let round = 0; round < Number(rounds); round++) {
  const outcome = await works[work]!().then(
    () => 'done',
    (error: unknown) =>
      error instanceof Error && /^(BROKEN|leaving)/.test(error.message)
        ? error.message
        : toThinError(error).code,
  );
  outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
}
await codecs.close();
store.close();
console.log(JSON.stringify({ work, outcomes }));
