import { credentials, makeGenericClientConstructor, Metadata, type ServiceError } from '@grpc/grpc-js';
import type { MountMessage } from '../../src/containerd/messages.js';
import { serviceOf } from '../../src/containerd/protos.js';

export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: string;
}

export interface DiffRequest {
  readonly left: readonly MountMessage[];
  readonly right: readonly MountMessage[];
  readonly mediaType?: string;
  readonly ref?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly sourceDateEpoch?: { readonly seconds: string };
}

type Unary = (
  request: object,
  metadata: Metadata,
  options: { readonly deadline?: number },
  answer: (error: ServiceError | null, response: { readonly diff: Descriptor }) => void,
) => void;

/** Who asks a differ, containerd's own or a proxy. Failures are gRPC's, with `code` and `details`. */
export class DiffClient {
  readonly #client: InstanceType<ReturnType<typeof makeGenericClientConstructor>>;

  private constructor(client: InstanceType<ReturnType<typeof makeGenericClientConstructor>>) {
    this.#client = client;
  }

  static async at(socket: string): Promise<DiffClient> {
    const Made = makeGenericClientConstructor(await serviceOf('diff'), 'diff');
    return new DiffClient(new Made(`unix:${socket}`, credentials.createInsecure()));
  }

  /** @param patienceMs the call is given up after it */
  async diff(
    request: DiffRequest,
    headers: Readonly<Record<string, string>> = {},
    patienceMs?: number,
  ): Promise<Descriptor> {
    const all = { 'containerd-namespace': 'default', ...headers };
    return (await this.#call('Diff', request, all, patienceMs)).diff;
  }

  async apply(): Promise<void> {
    await this.#call('Apply', {}, {});
  }

  close(): void {
    this.#client.close();
  }

  #call(
    method: 'Diff' | 'Apply',
    request: object,
    headers: Readonly<Record<string, string>>,
    patienceMs?: number,
  ): Promise<{ readonly diff: Descriptor }> {
    const metadata = new Metadata();
    for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
    const options = patienceMs === undefined ? {} : { deadline: Date.now() + patienceMs };
    return new Promise((resolve, reject) => {
      (this.#client[method] as Unary).call(this.#client, request, metadata, options, (error, response) => {
        if (error === null) resolve(response);
        else reject(error);
      });
    });
  }
}
