import type { Command } from 'commander';
import { formatBinarySize } from '../config/sizes.js';
import { formatTable } from '../docker/table.js';
import { ThinError } from '../errors/thin-error.js';
import { IMAGE_BLOCK } from '../format/remote-image.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { interruptible } from './interrupt.js';
import { print, printJson, printResult } from './output.js';
import { KEY_OPTION, URL_HELP, type KeyFlags } from './remote-flags.js';

const HOUR = 3_600_000;

interface CheckFlags extends KeyFlags {
  readonly data?: boolean;
}

interface GcFlags {
  readonly grace: string;
}

export function registerRemoteCommands(program: Command): void {
  const remote = program.command('remote').summary('images in an object store or a registry');
  remote
    .command('ls')
    .summary('list the tags and their images')
    .description(
      'Lists the tags with the size of their device and of their packs in the store: STORED is the size of all packs, ALONE the size of those that no other tag needs.',
    )
    .argument('<url>', URL_HELP)
    .option(...KEY_OPTION)
    .addHelpText('after', example('thinfuse remote ls s3://images/debian'))
    .action(async (url: string, flags: KeyFlags, command: Command) => {
      await list(contextOf(command), url, flags);
    });

  remote
    .command('rm')
    .summary('remove tags')
    .description(
      'Removes tags. Their blocks stay until thinfuse remote gc, or in a registry until its own garbage collection.',
    )
    .argument('<url...>', 'with :TAG')
    .addHelpText('after', example('thinfuse remote rm s3://images/debian:11'))
    .action(async (urls: readonly string[], _flags: unknown, command: Command) => {
      await remove(contextOf(command), urls);
    });

  remote
    .command('check')
    .summary('verify that images are complete')
    .description(
      'Verifies that all parts of an image are in the store, or of the images of all tags. With --data, reads and verifies every block. Ends with 7 if something is missing or damaged.',
    )
    .argument('<url>', URL_HELP)
    .option('--data', 'read every pack and verify every block')
    .option(...KEY_OPTION)
    .addHelpText('after', example('thinfuse remote check --data s3://images/debian'))
    .action(async (url: string, flags: CheckFlags, command: Command) => {
      await check(contextOf(command), url, flags);
    });

  remote
    .command('gc')
    .summary('remove blocks that no tag needs')
    .description(
      'Marks the objects that no tag, push or pull uses, and removes those that were marked for longer than the grace. Safe beside pushes and pulls of any host. Run it once a day, for example.',
    )
    .argument('<url>', 's3://BUCKET/PREFIX; a registry has its own garbage collection')
    .option('--grace <hours>', 'how long an unused part stays after it was marked', '24')
    .addHelpText('after', example('thinfuse remote gc s3://images/debian'))
    .action(async (url: string, flags: GcFlags, command: Command) => {
      await collect(contextOf(command), url, flags);
    });
}

async function list({ json }: Context, url: string, { keyFile }: KeyFlags): Promise<void> {
  const { withRemote } = await import('../remote/open-remote.js');
  const { survey } = await import('../remote/survey.js');
  const { shortDigest } = await import('../remote/digest.js');
  const images = await withRemote(url, keyFile, ({ store, seal, name }) => survey(store, seal, name));
  if (json) {
    printJson(
      images.map(({ image, device, createdAt, ...rest }) => ({
        ...rest,
        createdAt: new Date(createdAt).toISOString(),
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
        formatBinarySize(blocks * IMAGE_BLOCK),
        formatBinarySize(stored),
        formatBinarySize(alone),
        new Date(createdAt).toISOString().slice(0, 19),
      ]),
    ),
  );
}

async function remove(context: Context, urls: readonly string[]): Promise<void> {
  const { withRemote } = await import('../remote/open-remote.js');
  const { describeName, parseRemoteUrl } = await import('../remote/remote-url.js');
  // All URLs are parsed before one tag is removed.
  for (const url of urls)
    if (parseRemoteUrl(url).name?.kind !== 'tag')
      throw new ThinError(
        'invalid-argument',
        `${url} names no tag; write it as ${url.replace(/@.*/, '')}:TAG`,
      );
  for (const url of urls)
    await withRemote(url, undefined, async ({ store, place, name }) => {
      if (name?.kind !== 'tag') return;
      await store.removeTag(name.tag);
      printResult(context, { removed: describeName(place, name) }, describeName(place, name));
    });
}

async function check(context: Context, url: string, { keyFile, data = false }: CheckFlags): Promise<void> {
  const { withRemote } = await import('../remote/open-remote.js');
  const { RemoteCheck } = await import('../remote/survey.js');
  await interruptible((signal) =>
    withRemote(url, keyFile, async (remote) => {
      const { store, seal, name } = remote;
      const checked = new RemoteCheck(store, seal, data ? remote.codecs() : undefined, signal);
      await checked.named(name);
      const { findings, images, packs, blocks } = checked;
      printResult(
        context,
        { ok: findings.length === 0, images, packs, blocks, findings },
        [
          ...findings.map(({ path, problem }) => `${path}: ${problem}`),
          `${images} images, ${packs} packs, ${blocks} blocks: ${findings.length === 0 ? 'nothing is wrong' : `${findings.length} problems`}`,
        ].join('\n'),
      );
      if (findings.length > 0)
        throw new ThinError(
          'damaged',
          `${store.url}: the store has lost or changed objects that images need; push these images again`,
        );
    }),
  );
}

async function collect(context: Context, url: string, { grace }: GcFlags): Promise<void> {
  const { Collection } = await import('../remote/collect.js');
  const { withRemote } = await import('../remote/open-remote.js');
  const hours = Number(grace);
  if (!Number.isFinite(hours) || hours < 0 || grace.trim() === '')
    throw new ThinError('invalid-argument', `--grace ${JSON.stringify(grace)} is not a number of hours`);
  const done = await interruptible((signal) =>
    withRemote(url, undefined, async ({ store, name }) => {
      if (name !== undefined)
        throw new ThinError(
          'invalid-argument',
          `gc works on all tags of the store; write ${store.url} without a tag`,
        );
      return new Collection(store, { graceMs: hours * HOUR, signal }).run();
    }),
  );
  printResult(
    context,
    done,
    `${done.removed} removed, ${formatBinarySize(done.freed)} given back; ${done.waiting} without use wait for their grace, ${done.kept} are kept`,
  );
}
