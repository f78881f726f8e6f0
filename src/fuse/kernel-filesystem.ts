import { ThinError, toThinError } from '../errors/thin-error.js';
import type { BufferPool } from './buffer-pool.js';
import {
  directoryAttributes,
  fileAttributes,
  flushedAfter,
  readableLength,
  requireSameSize,
  requireWritable,
  spaceBlocks,
} from './image-access.js';
import type { ImageDirectory, ImageFile } from '../io/image-file.js';
import { KernelInodes, type Inode } from './kernel-inodes.js';
import {
  FATTR_SIZE,
  FallocateMode,
  InitFlag,
  InitFlag2,
  OUT_HEADER_SIZE,
  Opcode,
  OpenFlag,
  PROTOCOL_MAJOR,
  PROTOCOL_MINOR,
  ROOT_NODE,
  SEEK_DATA,
  SEEK_HOLE,
  SURVIVING_MINOR,
  WRITE_DATA_OFFSET,
  isDurableWrite,
  packAttributes,
  packDirectory,
  packEmpty,
  packEntry,
  packError,
  packInit,
  packLseek,
  packOpen,
  packOutHeader,
  packStatfs,
  packWrite,
  readFallocate,
  readForgets,
  readHandle,
  readInHeader,
  readInit,
  readLseek,
  readName,
  readOpenFlags,
  readRange,
  readSetattr,
  type DirectoryEntry,
  type InHeader,
} from './kernel-protocol.js';
import type { ConnectionChange, ConnectionState } from './connection.js';
import { O_ACCMODE, OpenFiles } from './open-files.js';

const EPERM = 1;
const ENOENT = 2;
const ENXIO = 6;
const EINVAL = 22;
const ENOSYS = 38;
const EPROTO = 71;
const EOPNOTSUPP = 95;
const NAME_MAX = 255;
const PAGE_SIZE = 4096;
/**
 * Requests that the kernel sends ahead without waiting (async direct I/O): enough for a loop device's queue.
 */
const MAX_BACKGROUND = 128;
const CONGESTION_THRESHOLD = 96;
/** FUSE_UNKNOWN_INO: listed, but not looked up yet. */
const UNKNOWN_INODE = 0xffffffff;

/** FUSE_UNIQUE_RESEND: the kernel asks again, with the same number otherwise. */
const RESENT = 1n << 63n;

type Reply = Buffer | undefined;

export interface KernelFilesystemOptions {
  /** Bytes of the largest READ and WRITE; a multiple of 4096. */
  readonly maxIo: number;
  /** Where READ replies are built; each buffer holds `maxIo` and a header. */
  readonly buffers: BufferPool;
  readonly onFault: (error: ThinError) => void;
  /** The kernel does not know the node any more. */
  readonly onForgotten?: (nodeId: number) => void;
  /** Another process may take the connection over one day. */
  readonly survives?: boolean;
  /** Called before the kernel learns of a change of nodes or handles. */
  readonly onChanged?: ((change: ConnectionChange) => void) | undefined;
}

/**
 * The image files as the kernel's protocol sees them: one request in, at most one reply out. Knows nothing of
 * descriptors or threads, so requests may come from anywhere, in any number and order.
 */
export class KernelFilesystem {
  readonly #directory: ImageDirectory;
  readonly #inodes: KernelInodes;
  readonly #open: OpenFiles;
  /** The request that each handle was given out for, where a connection can be taken over. */
  readonly #opened = new Map<number, bigint>();
  readonly #listings = new Map<number, readonly DirectoryEntry[]>();
  readonly #options: KernelFilesystemOptions;
  readonly #startedAt = Date.now();
  #lastListing = 0;
  #canResend = false;

  constructor(directory: ImageDirectory, options: KernelFilesystemOptions) {
    this.#directory = directory;
    this.#inodes = new KernelInodes(directory);
    this.#open = new OpenFiles(directory);
    this.#options = options;
  }

  /** The file that a node stands for; undefined for the folder and what is unknown. */
  fileOf(nodeId: number): ImageFile | undefined {
    return this.#inodes.get(nodeId)?.file;
  }

  /** Handles that are open. */
  get openFiles(): number {
    return this.#open.size;
  }

  /**
   * What the next process needs to serve the kernel's nodes and handles. Undefined if the kernel cannot send
   * it the requests that this process leaves unanswered.
   */
  connectionState(): ConnectionState | undefined {
    if (!this.#canResend) return undefined;
    const nodes = this.#inodes.known();
    const nodeOf = new Map(nodes.map(({ id }) => [this.#inodes.get(id)?.file, id]));
    const open = this.#open.all().flatMap(([handle, { name, file, durable, forWriting }]) => {
      const node = nodeOf.get(file);
      const unique = String(this.#opened.get(handle) ?? 0n);
      return node === undefined ? [] : [{ handle, node, name, unique, durable, forWriting }];
    });
    return { maxIo: this.#options.maxIo, nodes, open };
  }

  /** Goes on where an earlier process left off; what is not active any more is answered with errors. */
  takeOver({ nodes, open }: ConnectionState): void {
    this.#canResend = true;
    for (const { id, name } of nodes) {
      const file = this.#directory.lookup(name);
      if (file !== undefined) this.#inodes.adopt(id, name, file);
    }
    for (const { handle, node, name, unique, durable = false, forWriting = true } of open) {
      const inode = this.#inodes.get(node);
      if (inode === undefined) continue;
      this.#open.adopt(handle, { name, file: inode.file, durable, forWriting });
      this.#opened.set(handle, BigInt(unique));
    }
  }

  /** For a connection that has ended: the kernel releases nothing any more. */
  close(): void {
    this.#open.releaseAll();
  }

  /**
   * The reply, now or later; undefined where the protocol wants none. `request` is one whole message and is
   * left alone by the caller until then. Never throws or rejects: failures are replies.
   */
  serve(request: Buffer): Reply | Promise<Reply> {
    return this.#answer(request, (header) => this.#dispatch(header, request));
  }

  /**
   * As `serve`, for a WRITE that another thread has carried out and could not make durable. `request` goes as
   * far as the data.
   */
  serveWritten(request: Buffer): Reply | Promise<Reply> {
    return this.#answer(request, async ({ unique }) => {
      const { handle, size } = readRange(request);
      await this.#open.get(handle).file.flush();
      return packWrite(unique, size);
    });
  }

  #answer(request: Buffer, work: (header: InHeader) => Reply | Promise<Reply>): Reply | Promise<Reply> {
    const header = readInHeader(request);
    try {
      const reply = work(header);
      if (!(reply instanceof Promise)) return reply;
      return reply.catch((error: unknown) => this.#failure(header, error));
    } catch (error) {
      return this.#failure(header, error);
    }
  }

  #failure(header: InHeader, error: unknown): Buffer {
    const failure = toThinError(error);
    if (failure.code === 'internal') this.#options.onFault(failure);
    return packError(header.unique, failure.errno);
  }

  #dispatch(header: InHeader, request: Buffer): Reply | Promise<Reply> {
    const { unique, nodeId } = header;
    switch (header.opcode) {
      case Opcode.READ:
        return this.#read(header, request);
      case Opcode.WRITE:
        return this.#write(header, request);
      case Opcode.LOOKUP:
        return this.#lookup(header, request);
      case Opcode.FORGET:
      case Opcode.BATCH_FORGET:
        for (const one of readForgets(request, header))
          if (this.#inodes.forget(one.nodeId, one.count)) {
            this.#options.onForgotten?.(one.nodeId);
            this.#options.onChanged?.(['node', one.nodeId, null]);
          }
        return undefined;
      case Opcode.GETATTR:
        return this.#attributes(header);
      case Opcode.SETATTR:
        return this.#setattr(header, request);
      case Opcode.OPEN:
        return this.#openFile(header, request);
      case Opcode.RELEASE:
        this.#open.release(readHandle(request));
        this.#opened.delete(readHandle(request));
        this.#options.onChanged?.(['open', readHandle(request), null]);
        return packEmpty(unique);
      case Opcode.FLUSH:
        // A close of what could only be read: a pool that has failed has no error for it.
        if (!this.#open.get(readHandle(request)).forWriting) return packEmpty(unique);
        return this.#flush(header, request);
      case Opcode.FSYNC:
        return this.#flush(header, request);
      case Opcode.FALLOCATE:
        return this.#fallocate(header, request);
      case Opcode.LSEEK:
        return this.#seek(header, request);
      case Opcode.OPENDIR:
        if (nodeId !== ROOT_NODE) return packError(unique, ENOENT);
        this.#listings.set(++this.#lastListing, this.#list());
        return packOpen(unique, this.#lastListing, 0);
      case Opcode.READDIR:
        return this.#readdir(header, request);
      case Opcode.RELEASEDIR:
        this.#listings.delete(readHandle(request));
        return packEmpty(unique);
      case Opcode.FSYNCDIR:
      case Opcode.DESTROY:
        return packEmpty(unique);
      case Opcode.STATFS: {
        const space = spaceBlocks(this.#directory.space());
        return packStatfs(unique, { ...space, nameMax: NAME_MAX });
      }
      case Opcode.INIT:
        return this.#init(header, request);
      case Opcode.INTERRUPT:
        // The interrupted request is answered when it is done; its own reply is what the kernel waits for.
        return undefined;
      case Opcode.CREATE:
      case Opcode.MKNOD:
      case Opcode.MKDIR:
      case Opcode.SYMLINK:
      case Opcode.LINK:
      case Opcode.UNLINK:
      case Opcode.RMDIR:
      case Opcode.RENAME:
      case Opcode.RENAME2:
      case Opcode.TMPFILE:
        return packError(unique, EPERM);
      default:
        return packError(unique, ENOSYS);
    }
  }

  #init({ unique }: InHeader, request: Buffer): Buffer {
    const offered = readInit(request);
    if (offered.major < PROTOCOL_MAJOR) return packError(unique, EPROTO);
    const wanted =
      InitFlag.ASYNC_READ |
      InitFlag.BIG_WRITES |
      InitFlag.ASYNC_DIO |
      InitFlag.PARALLEL_DIROPS |
      InitFlag.MAX_PAGES;
    this.#canResend =
      this.#options.survives === true &&
      offered.minor >= SURVIVING_MINOR &&
      (offered.flags2 & InitFlag2.HAS_RESEND) !== 0;
    return packInit(unique, {
      minor: this.#canResend ? SURVIVING_MINOR : Math.min(offered.minor, PROTOCOL_MINOR),
      maxReadahead: offered.maxReadahead,
      flags: (wanted | (this.#canResend ? InitFlag.INIT_EXT : 0)) & offered.flags,
      flags2: this.#canResend ? InitFlag2.HAS_RESEND : 0,
      maxBackground: MAX_BACKGROUND,
      congestionThreshold: CONGESTION_THRESHOLD,
      maxWrite: this.#options.maxIo,
      maxPages: this.#options.maxIo / PAGE_SIZE,
    });
  }

  #read({ unique }: InHeader, request: Buffer): Buffer | Promise<Buffer> {
    const { handle, offset, size } = readRange(request);
    const { file } = this.#open.get(handle);
    const inside = readableLength(file, offset, size);
    if (inside === 0) return packEmpty(unique);
    const { buffers } = this.#options;
    const whole = buffers.take() ?? Buffer.allocUnsafe(OUT_HEADER_SIZE + inside);
    const reply = packOutHeader(whole.subarray(0, OUT_HEADER_SIZE + inside), unique);
    let reading: Promise<void> | undefined;
    try {
      reading = file.read(offset, reply.subarray(OUT_HEADER_SIZE));
    } catch (error) {
      buffers.give(whole);
      throw error;
    }
    if (reading === undefined) return reply;
    return reading.then(
      () => reply,
      (error: unknown) => {
        buffers.give(whole);
        throw error;
      },
    );
  }

  #write({ unique }: InHeader, request: Buffer): Buffer | Promise<Buffer> {
    const { handle, offset, size } = readRange(request);
    const { name, file } = this.#open.get(handle);
    requireWritable(name, file, offset, size);
    const written = file.write(offset, request.subarray(WRITE_DATA_OFFSET, WRITE_DATA_OFFSET + size));
    const done = isDurableWrite(request) ? flushedAfter(written, file) : written;
    return done === undefined ? packWrite(unique, size) : done.then(() => packWrite(unique, size));
  }

  #flush({ unique }: InHeader, request: Buffer): Buffer | Promise<Buffer> {
    const { file } = this.#open.get(readHandle(request));
    return file.readOnly ? packEmpty(unique) : file.flush().then(() => packEmpty(unique));
  }

  #fallocate({ unique }: InHeader, request: Buffer): Buffer | Promise<Buffer> {
    const { handle, offset, length, mode } = readFallocate(request);
    const { name, file, durable } = this.#open.get(handle);
    requireWritable(name, file, 0, 0);
    const punch = (mode & ~FallocateMode.KEEP_SIZE) === FallocateMode.PUNCH_HOLE;
    const zero = (mode & ~FallocateMode.KEEP_SIZE) === FallocateMode.ZERO_RANGE;
    if (!punch && !zero) return packError(unique, EOPNOTSUPP);
    if ((mode & FallocateMode.KEEP_SIZE) === 0) requireWritable(name, file, offset, length);
    const inside = readableLength(file, offset, length);
    if (inside === 0) return packEmpty(unique);
    // Also for a punched hole, although a discard asks for less: a loop device sends write-zeroes as the same
    // PUNCH_HOLE, and then filesystems rely on zeroes in the partial chunks at its ends too.
    const zeroed = file.writeZeroes(offset, inside);
    const done = durable ? flushedAfter(zeroed, file) : zeroed;
    return done === undefined ? packEmpty(unique) : done.then(() => packEmpty(unique));
  }

  async #seek({ unique }: InHeader, request: Buffer): Promise<Buffer> {
    const { handle, offset, whence } = readLseek(request);
    const { file } = this.#open.get(handle);
    if (whence !== SEEK_DATA && whence !== SEEK_HOLE) return packError(unique, EINVAL);
    if (offset >= file.size) return packError(unique, ENXIO);
    const found = await file.seek(offset, whence === SEEK_DATA ? 'data' : 'hole');
    return found === undefined ? packError(unique, ENXIO) : packLseek(unique, found);
  }

  #lookup({ unique, nodeId }: InHeader, request: Buffer): Buffer {
    const known = this.#inodes.size;
    const inode = nodeId === ROOT_NODE ? this.#inodes.lookup(readName(request)) : undefined;
    if (inode === undefined) return packError(unique, ENOENT);
    if (this.#inodes.size !== known) this.#options.onChanged?.(['node', inode.id, inode.name]);
    return packEntry(unique, inode.id, fileAttributes(inode.file));
  }

  #attributes({ unique, nodeId }: InHeader): Buffer {
    if (nodeId === ROOT_NODE) return packAttributes(unique, ROOT_NODE, directoryAttributes(this.#startedAt));
    return packAttributes(unique, nodeId, fileAttributes(this.#inode(nodeId).file));
  }

  /**
   * Owner, mode and times are accepted and forgotten: tools that copy attributes should not fail on a device
   * file.
   */
  #setattr(header: InHeader, request: Buffer): Buffer {
    const { valid, size } = readSetattr(request);
    if (header.nodeId !== ROOT_NODE && (valid & FATTR_SIZE) !== 0) {
      const { name, file } = this.#inode(header.nodeId);
      requireSameSize(name, file, size);
    }
    return this.#attributes(header);
  }

  #openFile({ unique, nodeId }: InHeader, request: Buffer): Buffer {
    const { name, file } = this.#inode(nodeId);
    const flags = readOpenFlags(request);
    if ((flags & O_ACCMODE) !== 0) requireWritable(name, file, 0, 0);
    // Past the page cache, so that a loop device with direct I/O and a plain reader of the file see the same
    // bytes at once.
    const handle = this.#handleOf(unique) ?? this.#open.open(name, file, flags);
    if (this.#canResend) this.#opened.set(handle, unique);
    const { durable, forWriting } = this.#open.get(handle);
    this.#options.onChanged?.([
      'open',
      handle,
      { node: nodeId, name, unique: String(this.#opened.get(handle) ?? 0n), durable, forWriting },
    ]);
    return packOpen(unique, handle, OpenFlag.DIRECT_IO | OpenFlag.PARALLEL_DIRECT_WRITES);
  }

  /** Of an OPEN that an earlier process carried out and perhaps did not answer. */
  #handleOf(unique: bigint): number | undefined {
    if ((unique & RESENT) === 0n) return undefined;
    for (const [handle, asked] of this.#opened) if (asked === (unique & ~RESENT)) return handle;
    return undefined;
  }

  #list(): readonly DirectoryEntry[] {
    const folders = ['.', '..'].map((name) => ({ name, nodeId: ROOT_NODE, isDirectory: true }));
    const files = this.#directory
      .names()
      .map((name) => ({ name, nodeId: this.#inodes.idOf(name) ?? UNKNOWN_INODE, isDirectory: false }));
    return [...folders, ...files];
  }

  /** From the names as they were when the folder was opened: positions in a listing keep their meaning. */
  #readdir({ unique }: InHeader, request: Buffer): Buffer {
    const { handle, offset, size } = readRange(request);
    return packDirectory(unique, this.#listings.get(handle) ?? [], offset, size);
  }

  #inode(nodeId: number): Inode {
    const inode = this.#inodes.get(nodeId);
    if (inode === undefined)
      throw new ThinError('not-found', `node ${nodeId} is forgotten; activate the device again`);
    return inode;
  }
}
