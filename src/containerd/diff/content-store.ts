import {
  credentials,
  makeGenericClientConstructor,
  Metadata,
  status,
  type Client,
  type ClientDuplexStream,
  type ServiceError,
} from '@grpc/grpc-js';
import { ThinError } from '../../errors/thin-error.js';
import { serviceOf } from '../protos.js';

/** In whose name containerd is asked, as the headers of the call said for which it is. */
export interface CallScope {
  readonly namespace: string;
  /** Keeps new content until it is part of an image; undefined: the caller has none, or does not say. */
  readonly lease: string | undefined;
}

type Labels = Readonly<Record<string, string>>;

export interface ContentInfo {
  readonly digest: string;
  readonly size: string;
  readonly labels: Labels;
}

interface WriteAnswer {
  readonly offset: string;
  readonly digest: string;
}
type WriteStream = ClientDuplexStream<object, WriteAnswer>;
type Unary = (request: object, metadata: Metadata, answer: Answer) => void;
type Answer = (error: ServiceError | null, response: unknown) => void;
type ServiceClient<K extends string> = Client & Readonly<Record<K, Unary>>;
type ContentClient = ServiceClient<'Info' | 'Update' | 'Abort'> & {
  readonly Write: (metadata: Metadata) => WriteStream;
};

/** To reach containerd. */
const PATIENCE_MS = 5000;
/** For the caller to make an image of the layer, where it has no lease. */
const LEASE_MS = 3_600_000;
const PIECE = 2 ** 20;

/** containerd's content store, over its socket. Failures are `ThinError`s with what containerd said. */
export class ContentStore {
  readonly #content: ContentClient;
  readonly #scope: Metadata;

  private constructor(content: ContentClient, scope: Metadata) {
    this.#content = content;
    this.#scope = scope;
  }

  /**
   * Without a lease, content that no image has yet is removed by the next collection, so one is made that
   * ends by itself. Errors: unsupported (no containerd answers there), io.
   */
  static async reach(socket: string, { namespace, lease }: CallScope): Promise<ContentStore> {
    const content = (await clientOf('content', socket)) as ContentClient;
    const scope = new Metadata();
    scope.set('containerd-namespace', namespace);
    try {
      await ready(content, socket);
      const held = lease ?? (await newLease(socket, scope));
      scope.set('containerd-lease', held);
      return new ContentStore(content, scope);
    } catch (error) {
      content.close();
      throw error;
    }
  }

  /** Opens the blob that is written under `ref`, and begins it anew. */
  async write(ref: string): Promise<BlobWriter> {
    const writer = new BlobWriter(this.#content.Write(this.#scope), ref);
    await writer.begin();
    return writer;
  }

  async abort(ref: string): Promise<void> {
    await ask(this.#content, 'Abort', { ref }, this.#scope);
  }

  async info(digest: string): Promise<ContentInfo> {
    const { info } = await ask<{ info: ContentInfo }, 'Info'>(this.#content, 'Info', { digest }, this.#scope);
    return info;
  }

  async setLabel(digest: string, label: string, value: string): Promise<void> {
    const info = { digest, labels: { [label]: value } };
    await ask(this.#content, 'Update', { info, updateMask: { paths: [`labels.${label}`] } }, this.#scope);
  }

  close(): void {
    this.#content.close();
  }
}

/** One answer comes for each request. */
export class BlobWriter {
  readonly #stream: WriteStream;
  readonly #ref: string;
  readonly #waiting: { resolve: (answer: WriteAnswer) => void; reject: (error: unknown) => void }[] = [];
  #failure: ThinError | undefined;
  #offset = 0;

  constructor(stream: WriteStream, ref: string) {
    this.#stream = stream;
    this.#ref = ref;
    stream.on('data', (answer: WriteAnswer) => this.#waiting.shift()?.resolve(answer));
    stream.on('error', (error: ServiceError) => this.#fail(toThin(error)));
    stream.on('end', () => this.#fail(new ThinError('io', 'containerd ended the writing of a layer')));
  }

  async begin(): Promise<void> {
    await this.#ask({ action: 'STAT', ref: this.#ref });
  }

  /** Bytes behind those before; the first replace what an earlier attempt left. */
  async add(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += PIECE) {
      const data = bytes.subarray(at, at + PIECE);
      await this.#ask({ action: 'WRITE', ref: this.#ref, offset: this.#offset, data });
      this.#offset += data.length;
    }
  }

  /** Makes a blob of it; containerd may have the same already. */
  async commit(digest: string, labels: Labels): Promise<void> {
    const total = this.#offset;
    try {
      await this.#ask({ action: 'COMMIT', ref: this.#ref, offset: total, total, expected: digest, labels });
    } catch (error) {
      if (!(error instanceof ThinError && error.code === 'exists')) throw error;
    }
  }

  close(): void {
    this.#stream.cancel();
  }

  #ask(request: object): Promise<WriteAnswer> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#waiting.push({ resolve, reject });
      this.#stream.write(request);
    });
  }

  #fail(failure: ThinError): void {
    this.#failure ??= failure;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#failure);
  }
}

async function newLease(socket: string, scope: Metadata): Promise<string> {
  const leases = (await clientOf('leases', socket)) as ServiceClient<'Create'>;
  try {
    const labels = { 'containerd.io/gc.expire': new Date(Date.now() + LEASE_MS).toISOString() };
    const id = `thinfuse-diff-${Date.now()}-${process.pid}`;
    await ask(leases, 'Create', { id, labels }, scope);
    return id;
  } finally {
    leases.close();
  }
}

async function clientOf(service: 'content' | 'leases', socket: string): Promise<Client> {
  const Made = makeGenericClientConstructor(await serviceOf(service), service);
  return new Made(`unix:${socket}`, credentials.createInsecure());
}

function ready(client: Client, socket: string): Promise<void> {
  return new Promise((resolve, reject) => {
    client.waitForReady(Date.now() + PATIENCE_MS, (error) => {
      if (error === undefined) resolve();
      else
        reject(
          new ThinError(
            'unsupported',
            `no containerd answers on ${socket}, whose content store the layer belongs to; name it with containerd= of --snapshotter`,
            { cause: error },
          ),
        );
    });
  });
}

function ask<T, K extends string>(
  client: ServiceClient<K>,
  method: K,
  request: object,
  scope: Metadata,
): Promise<T> {
  return new Promise((resolve, reject) => {
    client[method](request, scope, (error, response) => {
      if (error === null) resolve(response as T);
      else reject(toThin(error));
    });
  });
}

function toThin(error: ServiceError): ThinError {
  return new ThinError(
    error.code === status.ALREADY_EXISTS ? 'exists' : 'io',
    `containerd's content store: ${error.details}`,
    { cause: error },
  );
}
