import type { Logger } from 'pino';
import { ThinError, toThinError } from '../errors/thin-error.js';
import type { FoundLayers } from '../pool/remote-source.js';
import type { ThinPool } from '../pool/thin-pool.js';
import type { Labels } from './snapshot-record.js';
import type { SnapshotterSettings } from './snapshotter-settings.js';

/** What the CRI and containerd's transfer service say of a layer (pkg/snapshotters/annotations.go). */
const IMAGE_REF = 'containerd.io/snapshot/cri.image-ref';
const MANIFEST_DIGEST = 'containerd.io/snapshot/cri.manifest-digest';

/** Milliseconds for which a registry is asked before the layer is unpacked instead. */
const LOOK_MS = 5000;
/** Milliseconds for which block images are believed to be there, and not to be there. */
const FOUND_LIFE = 600_000;
const MISSING_LIFE = 60_000;
/** Images of which is known whether they have block images. */
const MOST_KNOWN = 256;

export interface LazyLimits {
  readonly lookMs: number;
  readonly missingLife: number;
}

interface Known {
  readonly found: Promise<FoundLayers | undefined>;
  /** `performance.now()`; undefined: it is being looked for. */
  until: number | undefined;
}

/**
 * Block images beside the ordinary images that containerd pulls. Whatever is wrong with them, the answer is
 * that there are none: the layers are unpacked then. That is remembered for a while, so that the further
 * layers of the image, and a pod that is tried again, wait for nothing.
 */
export class LazyLayers {
  readonly #pool: Pick<ThinPool, 'findLayers'>;
  readonly #log: Logger;
  readonly #limits: LazyLimits;
  readonly #known = new Map<string, Known>();

  constructor(
    pool: Pick<ThinPool, 'findLayers'>,
    log: Logger,
    limits: LazyLimits = { lookMs: LOOK_MS, missingLife: MISSING_LIFE },
  ) {
    this.#pool = pool;
    this.#log = log;
    this.#limits = limits;
  }

  /** Of the image that a layer with these labels is of. Never rejects. */
  async find(labels: Labels, hosts: SnapshotterSettings['lazy']): Promise<FoundLayers | undefined> {
    const image = hosts === undefined ? undefined : imageOf(labels);
    if (image === undefined || (hosts !== 'all' && hosts?.includes(image.host) !== true)) return undefined;
    const key = keyOf(image);
    let known = this.#known.get(key);
    if (known?.until !== undefined && known.until < performance.now()) known = undefined;
    if (known === undefined) {
      const looked: Known = { found: this.#look(image), until: undefined };
      this.#remember(key, looked);
      void looked.found.then((found) => {
        looked.until = performance.now() + (found === undefined ? this.#limits.missingLife : FOUND_LIFE);
      });
      known = looked;
    }
    return known.found;
  }

  /** What was found cannot be used, so the image is taken to have none for a while. */
  giveUp(labels: Labels, reason: string): void {
    const image = imageOf(labels);
    if (image === undefined) return;
    this.#remember(keyOf(image), {
      found: Promise.resolve(undefined),
      until: performance.now() + this.#limits.missingLife,
    });
    this.#told(image, reason);
  }

  async #look(image: NamedImage): Promise<FoundLayers | undefined> {
    const { url, subject } = image;
    const timeoutMs = this.#limits.lookMs;
    let timer: NodeJS.Timeout | undefined;
    try {
      const late = new Promise<never>((_, reject) => {
        const told = new ThinError('io', `${url} does not answer within ${timeoutMs / 1000} s`);
        timer = setTimeout(() => reject(told), timeoutMs).unref();
      });
      const found = await Promise.race([this.#pool.findLayers({ url, subject, timeoutMs }), late]);
      this.#log.info(
        { event: 'lazy', url, subject },
        found === undefined
          ? `${url} has no block images of ${subject}, so its layers are unpacked`
          : `the ${found.layers.length} layers of ${subject} are fetched from ${url} as they are read`,
      );
      return found;
    } catch (error) {
      this.#told(image, toThinError(error).message);
      return undefined;
    } finally {
      clearTimeout(timer);
    }
  }

  #told({ url, subject }: NamedImage, reason: string): void {
    this.#log.warn(
      { event: 'lazy', url, subject },
      `the block images of ${subject} are not used, so its layers are unpacked: ${reason}`,
    );
  }

  #remember(key: string, known: Known): void {
    this.#known.delete(key);
    this.#known.set(key, known);
    for (const oldest of this.#known.keys()) if (this.#known.size > MOST_KNOWN) this.#known.delete(oldest);
  }
}

interface NamedImage {
  readonly host: string;
  /** The repository. */
  readonly url: string;
  /** Digest of its manifest. */
  readonly subject: string;
}

/** Undefined: the labels do not say which image it is. */
function imageOf(labels: Labels): NamedImage | undefined {
  const of = (label: string): string => (Object.hasOwn(labels, label) ? (labels[label] ?? '') : '');
  const subject = of(MANIFEST_DIGEST);
  // As containerd has references: HOST/REPOSITORY[:TAG][@DIGEST].
  const [, host, repository] = /^([^/@]+)\/([^:@]+)(?::[^/@]+)?(?:@.+)?$/.exec(of(IMAGE_REF)) ?? [];
  if (host === undefined || repository === undefined || !/^sha256:[0-9a-f]{64}$/.test(subject))
    return undefined;
  return { host, url: `oci://${host}/${repository}`, subject };
}

function keyOf({ url, subject }: NamedImage): string {
  return `${url}@${subject}`;
}
