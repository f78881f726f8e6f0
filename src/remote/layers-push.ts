import type { DeviceStatus, Incompleteness } from '../api/operations.js';
import { toThinError } from '../errors/thin-error.js';
import type { DevicePush, DevicePushRequest } from './device-push.js';
import { digestOf, type Digest } from './digest.js';
import { blobsOf, type ImageReader } from './image-reader.js';
import {
  chainIds,
  LAYERS_TYPE,
  packLayers,
  unpackLayers,
  type ImageLayer,
  type LayersManifest,
} from './layers-manifest.js';
import { MANIFEST_TYPE } from './manifest.js';
import type { Descriptor } from './oci-manifests.js';
import { LAYER_TYPES, type OciStore } from './oci-store.js';
import type { Pushed } from './push.js';

/** Other images of the repository whose block images are looked at. */
const MOST_OTHERS = 8;

/** A device with what a layer and all below it come to. */
export interface UnpackedLayer {
  readonly device: DeviceStatus;
  /** In use in its filesystem. */
  readonly inodes: number;
}

export interface LayersPushRequest extends Pick<
  DevicePushRequest,
  'anchor' | 'trace' | 'signal' | 'onProgress' | 'onNote'
> {
  /** A tag or `sha256:…`. */
  readonly reference: string;
  /** `os/architecture` */
  readonly platform: string;
  /**
   * The devices of these chain ids, from the lowest on, each on top of the one before. Errors: not-found,
   * invalid-argument: there are none, or not such.
   */
  readonly unpacked: (chain: readonly string[]) => Promise<readonly UnpackedLayer[]>;
}

/** Of all layers together, in bytes. */
export interface PushedLayers extends Pick<Pushed, 'read' | 'sent' | 'blocks'>, Incompleteness {
  /** Of the artifact. */
  readonly digest: string;
  /** Of the ordinary image. */
  readonly subject: string;
  readonly layers: readonly ImageLayer[];
}

/**
 * Puts block images beside an ordinary image of a registry: one of each layer, so that each is a whole
 * filesystem from which containers start and on which other layers are unpacked. The ordinary image stays as
 * it is. They are in one artifact that refers to its manifest.
 */
export class LayersPush {
  readonly #store: OciStore;
  readonly #reader: ImageReader;
  readonly #push: DevicePush;

  constructor(store: OciStore, reader: ImageReader, push: DevicePush) {
    this.#store = store;
    this.#reader = reader;
    this.#push = push;
  }

  /** Errors: as `OciManifests.ordinary`, `DevicePush.run` and `unpacked`. */
  async run({ reference, platform, unpacked, trace, ...request }: LayersPushRequest): Promise<PushedLayers> {
    const { descriptor, diffIds } = await this.#store.manifests.ordinary(reference, platform);
    const chain = chainIds(diffIds);
    const devices = await unpacked(chain);
    const others = await this.#others();
    const layers: ImageLayer[] = [];
    let [read, sent, blocks] = [0, 0, 0];
    let lacks: string | undefined;
    for (const [at, { device, inodes }] of devices.entries()) {
      const isTop = at === devices.length - 1;
      const below =
        at === 0 ? undefined : { device: devices[at - 1]!.device.name, image: layers[at - 1]!.image };
      const pushed = await this.#push.run({
        ...request,
        name: device.name,
        tag: undefined,
        trace: isTop ? trace : undefined,
        layer: {
          name: `layer-${chain[at]!.slice('sha256:'.length, 'sha256:'.length + 12)}`,
          ...{ below, isTop },
          others: () => each(others),
        },
      });
      layers.push({ chain: chain[at]!, image: pushed.image, inodes });
      read += pushed.read;
      sent += pushed.sent;
      ({ blocks } = pushed);
      lacks ??= pushed.lacks;
    }
    const digest = await this.#publish(descriptor, layers);
    return { digest, subject: descriptor.digest, layers, read, sent, blocks, lacks };
  }

  /** Unless the same is there already. */
  async #publish(subject: Descriptor, layers: readonly ImageLayer[]): Promise<string> {
    const { manifests } = this.#store;
    const list = packLayers({ subject: subject.digest, layers: [...layers] });
    const [newest] = await manifests.referrers(subject.digest, LAYERS_TYPE);
    const config = { mediaType: LAYERS_TYPE, digest: `sha256:${digestOf(list)}`, size: list.length };
    if (newest !== undefined && (await manifests.artifact(newest.digest))?.config.digest === config.digest)
      return newest.digest;
    await this.#store.put('manifest', digestOf(list), list);
    const blobs = new Map<string, Descriptor>();
    const add = (mediaType: string, digest: Digest, size: number): void => {
      blobs.set(digest, { mediaType, digest: `sha256:${digest}`, size });
    };
    const images = [];
    for (const image of new Set(layers.map((layer) => layer.image)))
      images.push(await this.#reader.image(image));
    for (const { digest, bytes } of images) add(MANIFEST_TYPE, digest, bytes.length);
    for (const { manifest } of images)
      for (const { kind, digest, size } of blobsOf(manifest)) add(LAYER_TYPES[kind], digest, size);
    const put = await manifests.putReferrer({
      artifactType: LAYERS_TYPE,
      ...{ config, subject },
      layers: [...blobs.values()],
    });
    return put.digest;
  }

  /** Block images beside other images of the repository, whose blocks need not be sent again. */
  async #others(): Promise<readonly Digest[]> {
    const tops = new Set<Digest>();
    for await (const tag of this.#store.tags()) {
      if (tops.size === MOST_OTHERS) break;
      const found = await this.#layersBeside(tag).catch((error: unknown) => {
        // Whatever else is in the repository.
        if (['io', 'permission', 'closed'].includes(toThinError(error).code)) throw error;
        return undefined;
      });
      const top = found?.layers.at(-1);
      if (top !== undefined) tops.add(top.image);
    }
    return [...tops];
  }

  async #layersBeside(tag: string): Promise<LayersManifest | undefined> {
    const { manifests } = this.#store;
    for (const subject of await manifests.subjects(tag)) {
      const [newest] = await manifests.referrers(subject, LAYERS_TYPE);
      const config = newest && (await manifests.artifact(newest.digest))?.config;
      if (config !== undefined) return this.#layersIn(config);
    }
    return undefined;
  }

  async #layersIn({ digest }: Descriptor): Promise<LayersManifest> {
    const bytes = await this.#store.read('manifest', digest.replace('sha256:', '') as Digest);
    return unpackLayers(bytes, `${this.#store.url}@${digest}`);
  }
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  await Promise.resolve();
  yield* items;
}
