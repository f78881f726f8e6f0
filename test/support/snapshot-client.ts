import path from 'node:path';
import { credentials, loadPackageDefinition, Metadata, type Client, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { InfoMessage, MountMessage } from '../../src/containerd/messages.js';

const PROTO = path.join(import.meta.dirname, '../../proto/snapshots.proto');

type Answer = (error: ServiceError | null, response: unknown) => void;
interface Call {
  (request: object, answer: Answer): void;
  (request: object, metadata: Metadata, answer: Answer): void;
}
type Stream = (request: object) => AsyncIterable<{ info: InfoMessage[] }>;
type SnapshotsClient = Client & Readonly<Record<string, Call>> & { readonly List: Stream };

/**
 * What containerd is to a snapshotter, as far as the wire. Failures are gRPC's, with `code` and `details`.
 */
export class SnapshotClient {
  readonly #client: SnapshotsClient;
  readonly #name: string;

  /** @param name under which this containerd knows the snapshotter */
  constructor(socket: string, name = 'thinfuse') {
    this.#name = name;
    const definition = loadSync(PROTO, { longs: String, enums: String, defaults: true });
    // What proto-loader makes is known only by the file it reads.
    const loaded = loadPackageDefinition(definition) as unknown as {
      containerd: {
        services: { snapshots: { v1: { Snapshots: new (address: string, how: object) => SnapshotsClient } } };
      };
    };
    const { Snapshots } = loaded.containerd.services.snapshots.v1;
    this.#client = new Snapshots(`unix:${socket}`, credentials.createInsecure());
  }

  async prepare(key: string, parent = '', labels: Record<string, string> = {}): Promise<MountMessage[]> {
    return (await this.#call<{ mounts: MountMessage[] }>('Prepare', { key, parent, labels })).mounts;
  }

  async view(key: string, parent = '', labels: Record<string, string> = {}): Promise<MountMessage[]> {
    return (await this.#call<{ mounts: MountMessage[] }>('View', { key, parent, labels })).mounts;
  }

  async mounts(key: string): Promise<MountMessage[]> {
    return (await this.#call<{ mounts: MountMessage[] }>('Mounts', { key })).mounts;
  }

  async commit(name: string, key: string, labels: Record<string, string> = {}): Promise<void> {
    await this.#call('Commit', { name, key, labels });
  }

  async remove(key: string): Promise<void> {
    await this.#call('Remove', { key });
  }

  async stat(key: string): Promise<InfoMessage> {
    return (await this.#call<{ info: InfoMessage }>('Stat', { key })).info;
  }

  async update(info: Partial<InfoMessage>, paths: readonly string[] = []): Promise<InfoMessage> {
    return (await this.#call<{ info: InfoMessage }>('Update', { info, updateMask: { paths } })).info;
  }

  usage(key: string): Promise<{ size: string; inodes: string }> {
    return this.#call('Usage', { key });
  }

  async cleanup(): Promise<void> {
    await this.#call('Cleanup', {});
  }

  async list(...filters: readonly string[]): Promise<InfoMessage[]> {
    const all: InfoMessage[] = [];
    for await (const { info } of this.#client.List({ snapshotter: this.#name, filters })) all.push(...info);
    return all;
  }

  /** A request as bytes, which may have fields that this client's definition has not. */
  raw(method: string, request: Buffer): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        `/containerd.services.snapshots.v1.Snapshots/${method}`,
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => bytes,
        request,
        (error, response) => {
          if (error === null) resolve(response);
          else reject(error);
        },
      );
    });
  }

  /** As a relay passes it on. `attempt` above 1: an earlier daemon may have carried it out. */
  async outlived(id: string, attempt: number, method: string, request: object): Promise<void> {
    const marks = new Metadata();
    marks.set('thinfuse-call', id);
    marks.set('thinfuse-attempt', `${attempt}`);
    await new Promise<void>((resolve, reject) => {
      const asked = { snapshotter: this.#name, ...request };
      this.#client[method]?.(asked, marks, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }

  close(): void {
    this.#client.close();
  }

  #call<T>(method: string, request: object): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#client[method]?.({ snapshotter: this.#name, ...request }, (error, response) => {
        if (error === null) resolve(response as T);
        else reject(error);
      });
    });
  }
}
