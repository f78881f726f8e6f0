import { ThinError } from '../errors/thin-error.js';
import type { FoundLayers, LayersRequest } from '../pool/remote-source.js';
import { BlockSeal } from './block-seal.js';
import type { Digest } from './digest.js';
import { ImageReader } from './image-reader.js';
import { LazyImage, reachStore } from './lazy-image.js';
import { lazySettings } from './lazy-settings.js';
import { LAYERS_TYPE, unpackLayers } from './layers-manifest.js';
import { MANIFEST_TYPE, type StoredImage } from './manifest.js';
import { OciStore } from './oci-store.js';
import { USUAL_HOSTS } from './registry-hosts.js';

/** Block images that were found, open. */
export interface OpenLayers {
  readonly found: FoundLayers;
  readonly images: readonly LazyImage[];
}

/**
 * Looks for block images beside an ordinary image; undefined: there are none. Credentials are those that the
 * daemon finds. Errors: as `RemoteStore`; damaged, wrong-version, invalid-argument (no registry).
 */
export async function findLayers({
  url,
  subject,
  timeoutMs,
}: LayersRequest): Promise<OpenLayers | undefined> {
  // Of a time limit of its own, a signal says only that it was reached.
  const limit = new AbortController();
  const told = new ThinError('io', `${url} does not answer within ${timeoutMs / 1000} s`);
  const timer = setTimeout(() => limit.abort(told), timeoutMs);
  const { signal } = limit;
  const settings = { THINFUSE_OCI_HOSTS: USUAL_HOSTS, ...lazySettings(process.env) };
  let lease: Awaited<ReturnType<typeof reachStore>> | undefined;
  try {
    lease = await reachStore({ url, settings });
    const { store } = lease;
    if (!(store instanceof OciStore)) throw new ThinError('invalid-argument', `${url} is no registry`);
    const [newest] = await store.manifests.referrers(subject, LAYERS_TYPE, signal);
    const artifact = newest && (await store.manifests.artifact(newest.digest, signal));
    if (artifact === undefined) return undefined;
    if (artifact.subject?.digest !== subject)
      throw new ThinError('damaged', `${url}@${newest?.digest ?? ''}: it is beside another image`);
    const reader = new ImageReader(store, new BlockSeal(undefined));
    const hex = (digest: string): Digest => digest.replace('sha256:', '') as Digest;
    const [list, ...images] = await Promise.all([
      store.read('manifest', hex(artifact.config.digest), undefined, signal),
      ...artifact.layers
        .filter(({ mediaType }) => mediaType === MANIFEST_TYPE)
        .map(({ digest }) => reader.image(hex(digest))),
    ]);
    const { subject: meant, layers } = unpackLayers(list, `${url}@${artifact.config.digest}`);
    if (meant !== subject)
      throw new ThinError('damaged', `${url}@${newest?.digest ?? ''}: its layers are those of another image`);
    const byDigest = new Map<string, StoredImage>(images.map((image) => [image.digest, image]));
    const described = layers.map(({ chain, image, inodes }) => {
      const stored = byDigest.get(image);
      if (stored === undefined)
        throw new ThinError('damaged', `${url}@${newest?.digest ?? ''}: the block image ${image} is missing`);
      const { size, filesystem } = stored.manifest.device;
      return { chain, digest: image, size, filesystem, inodes };
    });
    return {
      found: { url, settings, layers: described },
      images: await Promise.all(
        images.map((image) =>
          LazyImage.known(
            { url, digest: image.digest, keyFile: '', note: '', family: 0, isHydrating: false, settings },
            image,
          ),
        ),
      ),
    };
  } finally {
    clearTimeout(timer);
    lease?.release();
  }
}
