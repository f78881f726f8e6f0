import { createServer, type Server as NetServer } from 'node:net';
import {
  Server,
  ServerCredentials,
  type ConnectionInjector,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { AdapterCalls } from '../adapter/adapter-calls.js';
import { KEEP_ALIVE, type KeepAlive } from '../adapter/keep-alive.js';
import { ATTEMPT_HEADER, CALL_HEADER, outlivedCall, type OutlivedCall } from '../adapter/outlived.js';
import type { PrivateServer } from '../adapter/pool-adapter.js';
import { noticingUnknown, UNKNOWN } from './known-fields.js';
import { serviceOf } from './protos.js';
import { infoMessage, type InfoMessage, type MountMessage } from './messages.js';
import type { Labels } from './snapshot-record.js';
import { statusOf } from './status.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { leavePlace, listenAt, type ListenPlace } from '../host/listening.js';
import type { Snapshotter } from './snapshotter.js';
import type { SnapshotterSettings } from './snapshotter-settings.js';
import type { Snapshotters } from './snapshotters.js';

/** Far below gRPC's 4 MiB for one message. */
const INFOS_PER_MESSAGE = 64;

/** Every request has it. */
interface Named {
  readonly snapshotter: string;
  readonly [UNKNOWN]?: readonly number[];
}

interface Requests {
  Prepare: Named & { key: string; parent: string; labels: Labels };
  View: Named & { key: string; parent: string; labels: Labels };
  Mounts: Named & { key: string };
  Commit: Named & { name: string; key: string; labels: Labels };
  Remove: Named & { key: string };
  Stat: Named & { key: string };
  Update: Named & { info: InfoMessage | null; updateMask: { paths: readonly string[] } | null };
  Usage: Named & { key: string };
  Cleanup: Named;
}

interface Responses {
  Prepare: { mounts: readonly MountMessage[] };
  View: { mounts: readonly MountMessage[] };
  Mounts: { mounts: readonly MountMessage[] };
  Commit: object;
  Remove: object;
  Stat: { info: InfoMessage };
  Update: { info: InfoMessage };
  Usage: { size: number; inodes: number };
  Cleanup: object;
}

type Method = keyof Requests;
type Methods = {
  readonly [K in Method]: (
    snapshotter: Snapshotter,
    request: Requests[K],
    call: OutlivedCall | undefined,
  ) => Promise<Responses[K]>;
};

/** Answers on the same sockets. */
export interface OtherService {
  readonly definition: Promise<ServiceDefinition>;
  readonly implementation: UntypedServiceImplementation;
}

/** gRPC on unix sockets: containerd's service of proxy snapshotters (proto/snapshots.proto). */
export class SnapshotServer implements PrivateServer {
  readonly #settings: SnapshotterSettings;
  readonly #snapshotters: Snapshotters;
  readonly #calls: AdapterCalls;
  readonly #keepAlive: KeepAlive;
  readonly #others: readonly OtherService[];
  readonly #listeners = new Map<NetServer, ListenPlace>();
  #server: { readonly grpc: Server; readonly connections: ConnectionInjector } | undefined;

  constructor(parts: {
    settings: SnapshotterSettings;
    snapshotters: Snapshotters;
    calls: AdapterCalls;
    keepAlive?: KeepAlive | undefined;
    others?: readonly OtherService[] | undefined;
  }) {
    this.#settings = parts.settings;
    this.#snapshotters = parts.snapshotters;
    this.#calls = parts.calls;
    this.#keepAlive = parts.keepAlive ?? KEEP_ALIVE;
    this.#others = parts.others ?? [];
  }

  async listen(place: ListenPlace): Promise<void> {
    const { connections } = (this.#server ??= await this.#opened());
    const listener = createServer((connection) => connections.injectConnection(connection));
    await listenAt(listener, place);
    this.#listeners.set(listener, place);
  }

  async close(): Promise<void> {
    for (const listener of this.#listeners.keys()) listener.close();
    // Connections that containerd keeps open would hold an orderly shutdown up for ever.
    this.#server?.grpc.forceShutdown();
    this.#server = undefined;
    for (const place of this.#listeners.values()) await leavePlace(place);
    this.#listeners.clear();
  }

  async #opened(): Promise<{ grpc: Server; connections: ConnectionInjector }> {
    const grpc = new Server({
      'grpc.keepalive_time_ms': this.#keepAlive.intervalMs,
      'grpc.keepalive_timeout_ms': this.#keepAlive.timeoutMs,
    });
    grpc.addService(noticingUnknown(await serviceOf('snapshots')), this.#implementation());
    for (const { definition, implementation } of this.#others)
      grpc.addService(noticingUnknown(await definition), implementation);
    return { grpc, connections: grpc.createConnectionInjector(ServerCredentials.createInsecure()) };
  }

  #methods(): Methods {
    return {
      Prepare: async (snapshotter, request, call) => ({
        mounts: await snapshotter.create('active', request, call),
      }),
      View: async (snapshotter, request, call) => ({
        mounts: await snapshotter.create('view', request, call),
      }),
      Mounts: async (snapshotter, { key }) => ({ mounts: await snapshotter.mounts(key) }),
      Commit: async (snapshotter, { name, key, labels }, call) => {
        await snapshotter.commit(name, key, labels, call);
        return {};
      },
      Remove: async (snapshotter, { key }, call) => {
        await snapshotter.remove(key, call);
        return {};
      },
      Stat: (snapshotter, { key }) => Promise.resolve({ info: infoMessage(snapshotter.stat(key)) }),
      Update: async (snapshotter, { info, updateMask }) => {
        const changed = await snapshotter.update(
          info?.name ?? '',
          info?.labels ?? {},
          updateMask?.paths ?? [],
        );
        return { info: infoMessage(changed) };
      },
      Usage: (snapshotter, { key }) => snapshotter.usage(key),
      // Devices that wait for their last user are under no name any more.
      Cleanup: async () => {
        await this.#snapshotters.reap();
        return {};
      },
    };
  }

  #implementation(): UntypedServiceImplementation {
    const methods = this.#methods();
    return {
      Prepare: this.#unary('Prepare', methods),
      View: this.#unary('View', methods),
      Mounts: this.#unary('Mounts', methods),
      Commit: this.#unary('Commit', methods),
      Remove: this.#unary('Remove', methods),
      Stat: this.#unary('Stat', methods),
      Update: this.#unary('Update', methods),
      Usage: this.#unary('Usage', methods),
      Cleanup: this.#unary('Cleanup', methods),
      List: this.#list(),
    };
  }

  #unary<K extends Method>(method: K, methods: Methods): handleUnaryCall<Requests[K], Responses[K]> {
    return (call, callback) => {
      void this.#counted(method, call.request, (snapshotter) =>
        methods[method](snapshotter, call.request, callOf(call.metadata)),
      ).then(
        (response) => {
          callback(null, response);
        },
        (error: unknown) => {
          callback(statusObject(error));
        },
      );
    };
  }

  #list(): handleServerStreamingCall<
    Named & { filters: readonly string[] },
    { info: readonly InfoMessage[] }
  > {
    return (call) => {
      const { request } = call;
      void this.#counted('List', request, (snapshotter) =>
        Promise.resolve(snapshotter.list(request.filters)),
      ).then(
        (records) => {
          for (let from = 0; from < records.length; from += INFOS_PER_MESSAGE)
            call.write({ info: records.slice(from, from + INFOS_PER_MESSAGE).map(infoMessage) });
          call.end();
        },
        (error: unknown) => {
          call.emit('error', statusObject(error));
        },
      );
    };
  }

  /** Work within the name that the request carries. */
  async #counted<T>(
    method: string,
    request: Named,
    work: (snapshotter: Snapshotter) => Promise<T>,
  ): Promise<T> {
    return this.#calls.run(
      method,
      () => request,
      async ({ snapshotter, [UNKNOWN]: unknown }) => {
        if (unknown !== undefined) throw unknownFields(method, unknown);
        return work(await this.#snapshotters.under(this.#identityOf(snapshotter), this.#settings));
      },
    );
  }

  /**
   * What the records are kept under: two containerds that call their plugin the same, each on a socket of its
   * own, have nothing in common.
   */
  #identityOf(request: string): string {
    const { name } = this.#settings;
    if (name !== undefined) return request === name ? name : `${name}/${request}`;
    if (!request.includes('/')) return request;
    throw new ThinError(
      'invalid-argument',
      `the snapshotter name ${JSON.stringify(request)} has a /; give the plugin another name in containerd's config.toml`,
    );
  }
}

function unknownFields(method: string, numbers: readonly number[]): ThinError {
  return new ThinError(
    'invalid-argument',
    `${method} has fields that this version does not know (${numbers.join(', ')}), so thinfuse cannot do what they ask for; remove the setting that sends them (such as capabilities = ["rebase"]) from containerd's config.toml`,
  );
}

function statusObject(error: unknown): { code: number; details: string } {
  const { code, message } = toThinError(error);
  return { code: statusOf(code), details: message };
}

function callOf(metadata: Metadata): OutlivedCall | undefined {
  const of = (header: string): string | undefined => metadata.get(header)[0]?.toString();
  return outlivedCall(of(CALL_HEADER), of(ATTEMPT_HEADER));
}
