import type { Command } from 'commander';
import type { DeviceStatus } from '../api/operations.js';
import { formatBinarySize } from '../config/sizes.js';
import { unpackedChain } from '../containerd/layer-chain.js';
import { ThinError } from '../errors/thin-error.js';
import type { UnpackedLayer } from '../remote/layers-push.js';
import { withAccess } from './connect.js';
import { ChildProcessExec } from '../host/exec.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { requireComplete } from './incomplete.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { withProgress } from './progress.js';
import { KEY_OPTION, URL_HELP, type KeyFlags } from './remote-flags.js';

interface PushFlags extends KeyFlags {
  readonly oci?: boolean;
  readonly platform?: string;
  /** False: --no-anchor. */
  readonly anchor: boolean;
  readonly trace?: string;
}

export function registerPushCommand(program: Command): void {
  program
    .command('push')
    .summary('push a device to an object store or a registry')
    .description(
      'Writes the blocks of a device at this moment to an S3-compatible store or an OCI registry, and moves a tag to them (default: latest). The device may be in use. Blocks that the store has are not sent. The pool keeps a snapshot of the pushed state, so that the next push reads and sends only the differences.',
    )
    .argument('<id>', 'the device; with --oci the topmost layer of the image, and may be left out')
    .argument('[url]', URL_HELP)
    .option(...KEY_OPTION)
    .option(
      '--trace <command>',
      'run the command in a container of the device, and store the blocks that it reads apart, so that a pull fetches them ahead; default for an image: the blocks that were read since the daemon began',
    )
    .option(
      '--oci',
      'put block images of the layers beside the ordinary image that is at the url, so that containerd starts containers before it has the bytes; containerd has pulled the image into this pool before',
    )
    .option('--platform <os/architecture>', 'which image of an index, with --oci; default: of this host')
    .option('--no-anchor', 'keep no snapshot of the pushed state; the next push reads the whole device')
    .addHelpText(
      'after',
      example(
        'thinfuse push debian s3://images/debian:12',
        "thinfuse push debian s3://images/debian:12 --trace 'bash -c true'",
        'thinfuse push db oci://registry.example.org/backup/db:monday --key-file /etc/thinfuse.key',
        'thinfuse push --oci oci://registry.example.org/shop/web:1.4',
      ),
    )
    .action(async (name: string, url: string | undefined, flags: PushFlags, command: Command) => {
      const context = contextOf(command);
      if (flags.oci === true) await pushLayers(context, url === undefined ? [name] : [url, name], flags);
      else if (url === undefined || flags.platform !== undefined)
        throw new ThinError(
          'invalid-argument',
          url === undefined ? "missing required argument 'url'" : '--platform needs --oci',
        );
      else await push(context, name, url, flags);
    });
}

async function push(
  context: Context,
  name: string,
  url: string,
  { anchor, keyFile, trace }: PushFlags,
): Promise<void> {
  const { DevicePush } = await import('../remote/device-push.js');
  const { withRemote } = await import('../remote/open-remote.js');
  const { describeName } = await import('../remote/remote-url.js');
  await interruptible((signal) =>
    withRemote(url, keyFile, async (remote) => {
      const { place, tag, store, seal } = remote;
      await withAccess(context, async (access) => {
        const { image, ...pushed } = await withProgress(context, 'pushing', (onProgress) =>
          new DevicePush(access, store, seal, remote.codecs()).run({
            ...{ name, tag, anchor, signal, onProgress },
            trace: trace === undefined ? undefined : { command: trace, exec: new ChildProcessExec() },
            onNote: note,
          }),
        );
        const named = describeName(place, { kind: 'tag', tag });
        printResult(
          context,
          { name, url: named, digest: `sha256:${image}`, ...pushed },
          `${named}@sha256:${image}: ${formatBinarySize(pushed.sent)} sent, ${formatBinarySize(pushed.read)} read`,
        );
        requireComplete(name, pushed);
      });
    }),
  );
}

/** @param topmost undefined: any device that has the layers */
async function pushLayers(
  context: Context,
  [url, topmost]: readonly [url: string, topmost?: string],
  { anchor, keyFile, trace, platform = ownPlatform() }: PushFlags,
): Promise<void> {
  const { DevicePush } = await import('../remote/device-push.js');
  const { ImageReader } = await import('../remote/image-reader.js');
  const { LayersPush } = await import('../remote/layers-push.js');
  const { withRemote } = await import('../remote/open-remote.js');
  const { describeName } = await import('../remote/remote-url.js');
  if (keyFile !== undefined)
    throw new ThinError(
      'invalid-argument',
      '--oci takes no --key-file: the registry has the same files unencrypted, in the tars of the ordinary image',
    );
  await interruptible((signal) =>
    withRemote(url, undefined, async (remote) => {
      const { registry, seal } = remote;
      const named = remote.name ?? { kind: 'tag', tag: remote.tag };
      await withAccess(context, async (access) => {
        let name = topmost ?? '';
        const { digest, ...pushed } = await withProgress(context, 'pushing', (onProgress) =>
          new LayersPush(
            registry,
            new ImageReader(registry, seal),
            new DevicePush(access, registry, seal, remote.codecs()),
          ).run({
            reference: named.kind === 'tag' ? named.tag : `sha256:${named.digest}`,
            ...{ platform, anchor, signal, onProgress },
            trace: trace === undefined ? undefined : { command: trace, exec: new ChildProcessExec() },
            onNote: note,
            unpacked: async (chain) => {
              const devices = await access.call('device.list', {});
              const found = requireUnpacked(unpackedChain(devices, chain, topmost), { url, topmost });
              name = found.at(-1)!.device.name;
              return found;
            },
          }),
        );
        printResult(
          context,
          { name, url: describeName(remote.place, named), digest, parent: null, ...pushed },
          `${describeName(remote.place, named)}: ${pushed.layers.length} layers, ${formatBinarySize(pushed.sent)} sent, ${formatBinarySize(pushed.read)} read; ${digest}`,
        );
        requireComplete(name, pushed);
      });
    }),
  );
}

/** @throws ThinError not-found */
function requireUnpacked(
  found: ReturnType<typeof unpackedChain<DeviceStatus>>,
  { url, topmost }: { readonly url: string; readonly topmost: string | undefined },
): readonly UnpackedLayer[] {
  if (found !== undefined) return found.map(({ device, record: { inodes } }) => ({ device, inodes }));
  throw new ThinError(
    'not-found',
    `${topmost ?? 'the pool'} does not have the layers of ${url}; let containerd pull it with the snapshotter of this pool first`,
  );
}

/** As OCI calls it. */
function ownPlatform(): string {
  const names: Readonly<Record<string, string>> = { x64: 'amd64', ia32: '386' };
  return `linux/${names[process.arch] ?? process.arch}`;
}
