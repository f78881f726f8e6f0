import { formatBinarySize } from '../config/sizes.js';
import { ThinError } from '../errors/thin-error.js';
import { DevicePush } from '../remote/device-push.js';
import { DEFAULT_TAG, describeName } from '../remote/remote-url.js';
import { withAccess } from './connect.js';
import type { Context } from './context.js';
import { interruptible } from './interrupt.js';
import { note, printResult } from './output.js';
import { withProgress } from './progress.js';
import type { PushFlags } from './push-command.js';
import { withRemote } from './remote-flags.js';

export async function runPush(
  context: Context,
  name: string,
  url: string,
  { anchor, ...flags }: PushFlags,
): Promise<void> {
  await interruptible((signal) =>
    withRemote(url, flags, async (remote) => {
      const { place, name: image, store, seal } = remote;
      if (image?.kind === 'digest')
        throw new ThinError('invalid-argument', `a push moves a tag; write ${place.url}:TAG`);
      const tag = image?.tag ?? DEFAULT_TAG;
      await withAccess(context, async (access) => {
        const push = new DevicePush(access, store, seal, remote.codecs());
        const pushed = await withProgress(context, 'pushing', (onProgress) =>
          push.run({ name, tag, anchor, signal, onProgress, onNote: note }),
        );
        const { image: digest, ...rest } = pushed;
        const named = describeName(place, { kind: 'tag', tag });
        printResult(
          context,
          { name, url: named, digest: `sha256:${digest}`, ...rest },
          `${named}@sha256:${digest}: ${formatBinarySize(pushed.sent)} sent, ${formatBinarySize(pushed.read)} read`,
        );
      });
    }),
  );
}
