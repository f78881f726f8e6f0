import type { RemoteImageInfo } from '../pool/thin-pool.js';
import { lazyEnvironment } from './lazy-settings.js';
import { OpenRemote } from './open-remote.js';
import { RemoteCheck } from './survey.js';

/** What the stores have of images whose bytes are not all here. */
export interface RemoteScrub {
  readonly images: number;
  readonly blocks: number;
  readonly findings: readonly { readonly path: string; readonly problem: string }[];
}

/**
 * Reads all of the images in their stores, as the daemon reaches them, and keeps nothing of it. Errors: as
 * those of the stores.
 */
export async function scrubImages(
  images: readonly RemoteImageInfo[],
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<RemoteScrub> {
  const findings: RemoteScrub['findings'][number][] = [];
  let blocks = 0;
  for (const { url, digest, keyFile, settings } of images) {
    const key = keyFile === '' ? undefined : keyFile;
    const remote = await OpenRemote.at(`${url}@sha256:${digest}`, key, lazyEnvironment(settings, env));
    try {
      const check = new RemoteCheck(remote.store, remote.seal, remote.codecs(), signal);
      await check.named(remote.name);
      findings.push(...check.findings);
      blocks += check.blocks;
    } finally {
      await remote.close();
    }
  }
  return { images: images.length, blocks, findings };
}
