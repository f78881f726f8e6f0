import type { Context } from './context.js';
import { withDaemon } from './connect.js';
import { interruptible } from './interrupt.js';

/** What the stores have of images whose bytes are not all here. */
export interface RemoteScrub {
  readonly images: number;
  readonly blocks: number;
  readonly findings: readonly { readonly path: string; readonly problem: string }[];
}

/**
 * Reads all of the images that devices here have bytes of, as the daemon reaches them, and keeps nothing of
 * it. Errors: no-daemon; as those of the stores.
 */
export async function scrubRemote(context: Context): Promise<RemoteScrub> {
  const { lazyEnvironment } = await import('../remote/lazy-settings.js');
  const { OpenRemote } = await import('../remote/open-remote.js');
  const { RemoteCheck } = await import('../remote/survey.js');
  const images = await withDaemon(context, (caller) => caller.call('remote.images', {}));
  const findings: RemoteScrub['findings'][number][] = [];
  let blocks = 0;
  await interruptible(async (signal) => {
    for (const { url, digest, keyFile, settings } of images) {
      const env = lazyEnvironment(settings, process.env);
      const remote = await OpenRemote.at(
        `${url}@sha256:${digest}`,
        keyFile === '' ? undefined : keyFile,
        env,
      );
      try {
        const check = new RemoteCheck(remote.store, remote.seal, remote.codecs(), signal);
        await check.named(remote.name);
        findings.push(...check.findings);
        blocks += check.blocks;
      } finally {
        await remote.close();
      }
    }
  });
  return { images: images.length, blocks, findings };
}
