import { formatBinarySize } from '../config/sizes.js';
import { formatTable } from '../docker/table.js';
import { ThinError } from '../errors/thin-error.js';
import { Collection } from '../remote/collect.js';
import { shortDigest, type Digest } from '../remote/digest.js';
import { describeName, parseRemoteUrl } from '../remote/remote-url.js';
import { RemoteCheck, survey } from '../remote/survey.js';
import type { Context } from './context.js';
import { interruptible } from './interrupt.js';
import { print, printJson, printResult } from './output.js';
import type { CheckFlags, GcFlags } from './remote-commands.js';
import { withRemote, type KeyFlags } from './remote-flags.js';

const HOUR = 3_600_000;

export async function runRemoteList({ json }: Context, url: string, flags: KeyFlags): Promise<void> {
  await withRemote(url, flags, async ({ store, seal, name }) => {
    const all = await survey(store, seal);
    const images =
      name === undefined
        ? all
        : all.filter(({ tag, image }) => (name.kind === 'tag' ? tag === name.tag : image === name.digest));
    if (json) {
      printJson(
        images.map(({ image, device, ...rest }) => ({
          ...rest,
          digest: `sha256:${image}`,
          name: device?.name ?? null,
          kind: device?.kind ?? null,
          size: device?.size ?? null,
        })),
      );
      return;
    }
    const right = (title: string): { title: string; right: true } => ({ title, right: true });
    print(
      formatTable(
        [
          { title: 'TAG' },
          { title: 'IMAGE' },
          { title: 'DEVICE' },
          right('SIZE'),
          right('BLOCKS'),
          right('STORED'),
          right('ALONE'),
          { title: 'PUSHED' },
        ],
        images.map(({ tag, image, device, blocks, stored, alone, createdAt }) => [
          tag,
          shortDigest(image),
          device?.name ?? '(encrypted)',
          device === undefined ? '-' : formatBinarySize(device.size),
          formatBinarySize(blocks * 65536),
          formatBinarySize(stored),
          formatBinarySize(alone),
          new Date(createdAt).toISOString().slice(0, 19),
        ]),
      ),
    );
  });
}

export async function runRemoteRemove(context: Context, urls: readonly string[]): Promise<void> {
  // All of them are read before one is removed.
  for (const url of urls)
    if (parseRemoteUrl(url).name?.kind !== 'tag')
      throw new ThinError(
        'invalid-argument',
        `${url} names no tag; write it as ${url.replace(/@.*/, '')}:TAG`,
      );
  for (const url of urls)
    await withRemote(url, {}, async ({ store, place, name }) => {
      if (name?.kind !== 'tag') return;
      await store.removeTag(name.tag);
      printResult(context, { removed: describeName(place, name) }, describeName(place, name));
    });
}

export async function runRemoteCheck(context: Context, url: string, flags: CheckFlags): Promise<void> {
  await interruptible((signal) =>
    withRemote(url, flags, async (remote) => {
      const { store, seal, name } = remote;
      const check = new RemoteCheck(store, seal, flags.data === true ? remote.codecs() : undefined, signal);
      const images = new Set<Digest>();
      if (name?.kind === 'digest') images.add(await store.imageOf(name.digest));
      else
        for await (const tag of name === undefined ? store.tags() : [name.tag]) {
          const image = (await store.tag(tag))?.image;
          if (image !== undefined) images.add(image);
          else if (name !== undefined)
            throw new ThinError(
              'not-found',
              `there is no ${describeName(store, name)}; see thinfuse remote ls ${store.url}`,
            );
        }
      for (const image of images) await check.image(image);
      const { findings, packs, blocks } = check;
      printResult(
        context,
        { ok: findings.length === 0, images: images.size, packs, blocks, findings },
        [
          ...findings.map(({ path, problem }) => `${path}: ${problem}`),
          `${images.size} images, ${packs} packs, ${blocks} blocks: ${findings.length === 0 ? 'nothing is wrong' : `${findings.length} problems`}`,
        ].join('\n'),
      );
      if (findings.length > 0)
        throw new ThinError(
          'damaged',
          `${store.url}: something that images need is not as it was pushed; push them again`,
        );
    }),
  );
}

export async function runRemoteCollect(context: Context, url: string, { grace }: GcFlags): Promise<void> {
  const hours = Number(grace);
  if (!Number.isFinite(hours) || hours < 0 || grace.trim() === '')
    throw new ThinError('invalid-argument', `--grace ${JSON.stringify(grace)} is no number of hours`);
  await interruptible((signal) =>
    withRemote(url, {}, async ({ store, name }) => {
      if (name !== undefined)
        throw new ThinError(
          'invalid-argument',
          `a collection is of all tags; write ${store.url} without one`,
        );
      if (!store.isCollected)
        throw new ThinError(
          'unsupported',
          `${store.url} is a registry, which collects by itself what no tag leads to; run its own garbage collection, with pushes stopped meanwhile`,
        );
      const done = await new Collection(store, { graceMs: hours * HOUR, signal }).run();
      printResult(
        context,
        done,
        `${done.removed} removed, ${formatBinarySize(done.freed)} given back; ${done.waiting} without use wait for their grace, ${done.kept} are kept`,
      );
    }),
  );
}
