import { formatBinarySize } from '../config/sizes.js';
import { DevicePull } from '../remote/device-pull.js';
import { ImageReader } from '../remote/image-reader.js';
import { withAccess } from './connect.js';
import type { Context } from './context.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { withProgress } from './progress.js';
import type { PullFlags } from './pull-command.js';
import { withRemote } from './remote-flags.js';

export async function runPull(
  context: Context,
  url: string,
  name: string | undefined,
  flags: PullFlags,
): Promise<void> {
  await interruptible((signal) =>
    withRemote(url, flags, async (remote) => {
      const reader = new ImageReader(remote.store, remote.seal);
      const image = await reader.named(remote.name);
      const { as: kind, keepLabel = false } = flags;
      await withAccess(context, async (access) => {
        const pull = new DevicePull(access, reader, remote.codecs());
        const pulled = await withProgress(context, 'pulling', (onProgress) =>
          pull.run({ image, name, kind, keepLabel, signal, onProgress, onNote: note }),
        );
        printResult(
          context,
          { ...pulled, digest: `sha256:${image.digest}` },
          `${pulled.name}: ${formatBinarySize(pulled.written)} written, ${formatBinarySize(pulled.fetched)} fetched`,
        );
      });
    }),
  );
}
