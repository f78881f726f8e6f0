import { DEFAULT_ROOT } from '../config/defaults.js';
import type {
  CheckInput,
  CheckReport,
  DaemonStatus,
  DeviceStatus,
  Incompleteness,
  OperationName,
  Operations,
  TextOperationName,
  TextOperations,
  TrimResult,
} from '../api/operations.js';
import { SocketClient } from '../api/client.js';
import { linesIn } from '../format/line-pieces.js';
import type { DoctorReport } from '../api/doctor-report.js';
import { trimAll } from '../api/trim-all.js';
import { rootLayout } from '../config/root-layout.js';
import type { PoolInfo } from '../pool/info.js';
import type { ReservedSnapshot } from '../pool/pool-tools.js';
import type { SpaceRequest } from '../pool/thin-pool.js';
import { ChildProcessExec } from '../host/exec.js';
import { changedFiles, type FileChanges } from '../transfer/diff.js';
import { DeviceExport, type ExportOptions } from '../transfer/export-device.js';
import { PoolExport, type ExportedDevice } from '../transfer/export-pool.js';
import { ImageFiles, makePlainImage, type ImageRequest, type MakeOptions } from '../transfer/make-image.js';
import { ServedAccess } from '../transfer/pool-access.js';
import {
  IncomingStream,
  type Received,
  type ReceiveOptions,
  type ReceiveRequest,
} from '../transfer/receive.js';
import { Sender, type SendRequest } from '../transfer/send.js';

export interface ConnectOptions {
  /**
   * Milliseconds without a byte of an answer, after which a call fails (`closed`); 0: no limit. Default: 0,
   * for mkfs and unmounting take their time.
   */
  readonly timeoutMs?: number;
}

/**
 * The daemon that serves the pool in a root folder.
 * @throws ThinError not-running, permission (not root), invalid-argument (the path is too long for a socket)
 */
export async function connect(
  root: string = DEFAULT_ROOT,
  options: ConnectOptions = {},
): Promise<DaemonClient> {
  const client = new DaemonClient(new SocketClient(rootLayout(root).socket, options));
  await client.status();
  return client;
}

/**
 * A daemon's pool over its control socket. Each method is one request and the client holds no connection, so
 * nothing has to be closed. Every method rejects with a ThinError as the daemon threw it; with `not-running`
 * where no daemon listens any more; with `closed` where it ended before it answered. Sizes are in bytes,
 * times in milliseconds.
 */
export class DaemonClient {
  readonly #socket: SocketClient;
  readonly #exec = new ChildProcessExec();
  readonly #access: ServedAccess;

  constructor(socket: SocketClient) {
    this.#socket = socket;
    this.#access = new ServedAccess(socket, this.#exec);
  }

  /** Any operation by its name: `POST /v1/<name>`. */
  call<K extends OperationName>(name: K, input: Operations[K]['input']): Promise<Operations[K]['output']> {
    return this.#socket.call(name, input);
  }

  /** Any operation that answers with text, in pieces as it is made. Leaving the loop ends the request. */
  text<K extends TextOperationName>(name: K, input: TextOperations[K]['input']): AsyncIterable<string> {
    return this.#socket.text(name, input);
  }

  status(): Promise<DaemonStatus> {
    return this.call('status', {});
  }

  info(): Promise<PoolInfo> {
    return this.call('pool.info', {});
  }

  /**
   * Reads the whole committed metadata beside normal work. What is wrong is in `findings`; the call fails
   * only where it cannot look.
   */
  check(input: CheckInput = {}): Promise<CheckReport> {
    return this.call('pool.check', input);
  }

  /** Changes settings while the pool serves, at once and for good; what is left out stays. */
  set(settings: Operations['pool.set']['input']): Promise<PoolInfo> {
    return this.call('pool.set', settings);
  }

  extend(to: SpaceRequest): Promise<PoolInfo> {
    return this.call('pool.extend', to);
  }

  /** Resolves when everything that was written is durable. */
  async commit(): Promise<void> {
    await this.call('pool.commit', {});
  }

  /** Resolves when no removed device holds space any more. */
  async settle(): Promise<void> {
    await this.call('pool.settle', {});
  }

  devices(): Promise<readonly DeviceStatus[]> {
    return this.call('device.list', {});
  }

  /** Errors: not-found. */
  device(name: string): Promise<DeviceStatus> {
    return this.call('device.get', { name });
  }

  /** Bytes that come back when all of these devices go. Errors: not-found, damaged. */
  async jointExclusive(names: readonly string[]): Promise<number> {
    return (await this.call('device.exclusive', { names })).bytes;
  }

  /**
   * A snapshot of the origin: a container of an image, an image, or a plain snapshot. A mounted origin is
   * frozen for that moment.
   */
  create(request: Operations['device.create']['input']): Promise<DeviceStatus> {
    return this.call('device.create', request);
  }

  /** `name` holds what `to` holds from now on. Errors: busy (mounted or active). */
  rollback(name: string, to: string): Promise<DeviceStatus> {
    return this.call('device.rollback', { name, to });
  }

  /** Writable copies of one moment of `origin`, all of them or none; at most 1000. */
  clone(origin: string, names: readonly string[]): Promise<readonly DeviceStatus[]> {
    return this.call('device.clone', { origin, names });
  }

  /** A device without an origin, all of it unmapped. */
  createThin(request: Operations['device.createThin']['input']): Promise<DeviceStatus> {
    return this.call('device.createThin', request);
  }

  /** A device that is not mounted becomes an image for good. */
  seal(name: string): Promise<DeviceStatus> {
    return this.call('device.seal', { name });
  }

  /** A snapshot that `maker` makes becomes what its origin was pushed as. */
  anchor(request: Operations['device.anchor']['input']): Promise<DeviceStatus> {
    return this.call('device.anchor', request);
  }

  /** An image in a store, for the device that is made of it next. */
  findRemote(request: Operations['remote.find']['input']): Promise<Operations['remote.find']['output']> {
    return this.call('remote.find', request);
  }

  /** No device is made of the image that was found with this note. */
  async forgetRemote(note: string): Promise<void> {
    await this.call('remote.forget', { note });
  }

  /** The empty device that `maker` makes gets what an image in a store has, fetched as it is read. */
  async attach(request: Operations['device.attach']['input']): Promise<{ readonly chunks: number }> {
    return this.call('device.attach', request);
  }

  /** Fetches the rest of the device's image; with `wait`, until all of it is here. */
  hydrate(name: string, options: { readonly wait?: boolean } = {}): Promise<DeviceStatus> {
    return this.call('device.hydrate', { name, ...options });
  }

  /** Blocks of chunks that the device, or what was made of it, has read first. */
  async reads(name: string): Promise<readonly number[]> {
    return (await this.call('device.reads', { name })).blocks;
  }

  /** Images in stores that the pool has its bytes of. */
  remoteImages(): Promise<Operations['remote.images']['output']> {
    return this.call('remote.images', {});
  }

  /** Marks a device that the process `maker` makes (`create`, `createThin`) as complete. */
  finish(name: string, maker: string): Promise<DeviceStatus> {
    return this.call('device.finish', { name, maker });
  }

  rename(name: string, to: string): Promise<DeviceStatus> {
    return this.call('device.rename', { name, to });
  }

  /** `quota`: bytes that the device may map; 0: no limit. */
  setQuota(name: string, quota: number): Promise<DeviceStatus> {
    return this.call('device.quota', { name, quota });
  }

  /** `limit`: bytes that the device's filesystem may hold while it is mounted; 0: all that it has. */
  setLimit(name: string, limit: number): Promise<DeviceStatus> {
    return this.call('device.limit', { name, limit });
  }

  /** How the device is mounted at each start of the daemon; null: not at all. Mounts nothing now. */
  setAutomount(
    name: string,
    automount: Operations['device.automount']['input']['automount'],
  ): Promise<DeviceStatus> {
    return this.call('device.automount', { name, automount });
  }

  /** Null takes a label away; those that are not named stay. */
  setLabels(name: string, labels: Readonly<Record<string, string | null>>): Promise<DeviceStatus> {
    return this.call('device.labels', { name, labels });
  }

  grow(name: string, size: number): Promise<DeviceStatus> {
    return this.call('device.grow', { name, size });
  }

  /** `deferred`: the device is in use and is removed after its last user. `force` unmounts it first. */
  remove(name: string, options: { readonly force?: boolean } = {}): Promise<{ deferred: boolean }> {
    return this.call('device.remove', { name, force: options.force });
  }

  /** The path of the image file. */
  async activate(name: string): Promise<string> {
    return (await this.call('activate', { name })).path;
  }

  deactivate(name: string): Promise<{ deferred: boolean }> {
    return this.call('deactivate', { name });
  }

  mount(
    name: string,
    options: Omit<Operations['mount']['input'], 'name'> = {},
  ): Promise<Operations['mount']['output']> {
    return this.call('mount', { name, ...options });
  }

  async umount(name: string): Promise<void> {
    await this.call('umount', { name });
  }

  trim(name: string): Promise<TrimResult> {
    return this.call('trim', { name });
  }

  /** Trims every device that is mounted for writing; `onDevice` is called before each. */
  trimAll(onDevice?: (name: string) => void): Promise<readonly TrimResult[]> {
    return trimAll(this, onDevice);
  }

  /**
   * The device's files for reading while `work` runs: the mount that is there already, else a read-only one
   * of its own. A device that is viewed is neither unmounted nor removed.
   */
  async view<T>(name: string, work: (folder: string) => Promise<T>): Promise<T> {
    const viewed = { name, holder: process.pid };
    const { path } = await this.call('view.open', viewed);
    try {
      return await work(path);
    } finally {
      await this.call('view.close', viewed);
    }
  }

  /** Makes the base device's filesystem, which `thinfuse init` has done. Errors: exists. */
  formatBase(): Promise<DeviceStatus> {
    return this.call('base.format', {});
  }

  /**
   * Makes an image: as its parent is, or with `from` of a folder, a tar, an OCI image layout or what docker
   * save wrote. Gone again if it fails.
   */
  async createImage(
    { from, ...request }: ImageRequest & { readonly from?: string },
    options: MakeOptions = {},
  ): Promise<DeviceStatus> {
    if (from === undefined) return makePlainImage(this, request);
    return (await ImageFiles.at(from, this.#exec)).make(this, request, options);
  }

  /** Which files of a device changed, compared with another one or its origin. */
  diff(name: string, other?: string): Promise<FileChanges> {
    return changedFiles(this, this.#exec, name, other);
  }

  /**
   * A device, or what changed in it since another one, for `receive`. The device is held still while the
   * stream is read, and goes on.
   */
  send(name: string, options: Omit<SendRequest, 'name'> = {}): AsyncGenerator<Uint8Array> {
    return new Sender(this.#access, { name, ...options }).stream();
  }

  /** Makes a device of such a stream: all of it or nothing, or with `keepPartial` what came before a cut. */
  async receive(
    stream: AsyncIterable<Uint8Array>,
    request: ReceiveRequest = {},
    options: ReceiveOptions = {},
  ): Promise<Received> {
    return (await IncomingStream.begin(stream, request)).into(this.#access, options);
  }

  /**
   * Writes a device as `format` into a file, which appears whole or not at all. Returns what it may lack;
   * undefined: nothing.
   */
  async export(
    name: string,
    format: 'tar' | 'raw' | 'qcow2',
    file: string,
    options: ExportOptions = {},
  ): Promise<string | undefined> {
    const exporting = new DeviceExport(this.#access, this.#exec, options);
    if (format === 'tar') return (await exporting.tar(name, { file })).lacks;
    return (await (format === 'raw' ? exporting.raw(name, file) : exporting.qcow2(name, file))).lacks;
  }

  /** Writes the whole pool for the kernel's dm-thin into a folder that is missing or empty. */
  async exportPool(folder: string, options: ExportOptions = {}): Promise<readonly ExportedDevice[]> {
    return (await (await PoolExport.to(folder, this.#exec)).write(this.#access, options)).devices;
  }

  /**
   * Serves the page of the pool on `[HOST:]PORT` until the daemon ends. Returns its address. Errors:
   * invalid-argument, busy.
   */
  async openUi(listen?: string): Promise<string> {
    return (await this.call('ui.open', { listen })).url;
  }

  /** The daemon's figures in Prometheus' text format. */
  async metrics(): Promise<string> {
    return (await this.call('metrics', {})).text;
  }

  doctor(options: { readonly fix?: boolean } = {}): Promise<DoctorReport> {
    return this.call('doctor', options);
  }

  /**
   * A JSON object each: what has happened (`past`), and with `follow` what happens until the loop is left.
   */
  async *events(
    input: TextOperations['events']['input'] = { past: true },
  ): AsyncGenerator<Readonly<Record<string, unknown>>> {
    for await (const lines of linesIn(this.text('events', input)))
      for (const line of lines) yield JSON.parse(line) as Readonly<Record<string, unknown>>;
  }

  /** The metadata as thin_dump prints it. */
  dump(input: TextOperations['metadata.dump']['input']): AsyncIterable<string> {
    return this.text('metadata.dump', input);
  }

  /** What an active device maps now: a JSON object a line. Errors: not-found, closed (it is not active). */
  runs(device: string): AsyncIterable<string> {
    return this.text('device.runs', { device });
  }

  delta(input: TextOperations['metadata.delta']['input']): AsyncIterable<string> {
    return this.text('metadata.delta', input);
  }

  rmap(input: TextOperations['metadata.rmap']['input']): AsyncIterable<string> {
    return this.text('metadata.rmap', input);
  }

  /** A metadata snapshot, which `dump`, `delta` and `rmap` can read instead of the pool as it is. */
  reserveMetadata(): Promise<ReservedSnapshot> {
    return this.call('metadata.reserve', {});
  }

  reservedMetadata(): Promise<readonly ReservedSnapshot[]> {
    return this.call('metadata.reserved', {});
  }

  /** dm-thin's message set_transaction_id. Errors: invalid-argument (`from` is not what the pool has). */
  async setTransactionId(from: number, to: number): Promise<void> {
    await this.call('pool.setTransactionId', { from, to });
  }

  /** Reads all data and metadata, and tells how far it is and what is damaged. */
  scrub(): AsyncIterable<string> {
    return this.text('pool.scrub', {});
  }

  async releaseMetadata(snapshot: number): Promise<void> {
    await this.call('metadata.release', { snapshot });
  }

  /** Errors: busy (a filesystem is in use), which `force` turns into a lazy unmount after a sync. */
  async stop(options: { readonly force?: boolean } = {}): Promise<Incompleteness> {
    return this.call('stop', options);
  }

  /** The daemon's supervisor starts another one, under mounts that stay. Errors: unsupported. */
  async restart(): Promise<void> {
    await this.call('restart', {});
  }
}
