/**
 * The FUSE wire protocol as include/uapi/linux/fuse.h has it, as far as image files need it: one function a
 * struct, offsets from the start of the message. Integers are little-endian here; the transport refuses to
 * start on other machines.
 */
import { constants } from 'node:fs';
import type { Attributes } from './image-access.js';

const IN_HEADER_SIZE = 40;
export const OUT_HEADER_SIZE = 16;
export const WRITE_DATA_OFFSET = 80;
export const ROOT_NODE = 1;
/** The kernel wants room for the largest write and its headers in every read (EINVAL otherwise). */
export const REQUEST_OVERHEAD = 4096;

export const PROTOCOL_MAJOR = 7;
/** The highest version that is spoken. 7.31 has everything used here; newer kernels adapt. */
export const PROTOCOL_MINOR = 31;
/** The version that a mount needs to outlive its server: FUSE_NOTIFY_RESEND came with 7.39 (Linux 6.9). */
export const SURVIVING_MINOR = 39;

export const Opcode = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  SYMLINK: 6,
  MKNOD: 8,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  RENAME2: 45,
  LSEEK: 46,
  TMPFILE: 51,
} as const;

export const InitFlag = {
  ASYNC_READ: 1 << 0,
  BIG_WRITES: 1 << 5,
  ASYNC_DIO: 1 << 15,
  PARALLEL_DIROPS: 1 << 18,
  MAX_PAGES: 1 << 22,
  INIT_EXT: 1 << 30,
} as const;
/** Of `flags2`, the upper half of the kernel's 64 flags. */
export const InitFlag2 = { HAS_RESEND: 1 << 7 } as const;
/** Requests that were read and not answered come again. */
const NOTIFY_RESEND = 7;

export const OpenFlag = { DIRECT_IO: 1 << 0, PARALLEL_DIRECT_WRITES: 1 << 6 } as const;
export const FallocateMode = { KEEP_SIZE: 1, PUNCH_HOLE: 2, ZERO_RANGE: 16 } as const;
export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
/** `valid` of SETATTR: the request carries a size. */
export const FATTR_SIZE = 1 << 3;

export interface InHeader {
  readonly length: number;
  readonly opcode: number;
  readonly unique: bigint;
  readonly nodeId: number;
  readonly pid: number;
}

/** Node ids, handles and offsets that come back from the kernel are ours, or file offsets: all below 2^53. */
function u64(message: Buffer, at: number): number {
  return message.readUInt32LE(at + 4) * 2 ** 32 + message.readUInt32LE(at);
}

function putU64(message: Buffer, at: number, value: number): void {
  message.writeUInt32LE(value % 2 ** 32, at);
  message.writeUInt32LE(Math.floor(value / 2 ** 32), at + 4);
}

/** struct fuse_in_header */
export function readInHeader(message: Buffer): InHeader {
  return {
    length: message.readUInt32LE(0),
    opcode: message.readUInt32LE(4),
    unique: message.readBigUInt64LE(8),
    nodeId: u64(message, 16),
    pid: message.readUInt32LE(32),
  };
}

/** `opcode` of a request's header. */
export function opcodeOf(message: Buffer): number {
  return message.readUInt32LE(4);
}

/** `nodeid` of a request's header. */
export function nodeIdOf(message: Buffer): number {
  return u64(message, 16);
}

/** struct fuse_out_header of a success, of `length` bytes with its body, in place; it answers `request`. */
export function echoOutHeader(reply: Buffer, length: number, request: Buffer): void {
  reply.writeUInt32LE(length, 0);
  reply.writeInt32LE(0, 4);
  request.copy(reply, 8, 8, 16);
}

/** struct fuse_write_out, in place. */
export function putWritten(reply: Buffer, size: number): void {
  putU64(reply, OUT_HEADER_SIZE, size);
}

/** struct fuse_init_in */
export function readInit(message: Buffer): {
  major: number;
  minor: number;
  maxReadahead: number;
  flags: number;
  flags2: number;
} {
  return {
    major: message.readUInt32LE(40),
    minor: message.readUInt32LE(44),
    maxReadahead: message.readUInt32LE(48),
    flags: message.readUInt32LE(52),
    flags2: message.length >= 60 ? message.readUInt32LE(56) : 0,
  };
}

/** A name that ends with NUL, behind the header: LOOKUP. */
export function readName(message: Buffer): string {
  const end = message.indexOf(0, IN_HEADER_SIZE);
  return message.toString('utf8', IN_HEADER_SIZE, end < 0 ? message.length : end);
}

/** struct fuse_open_in: open(2) flags. */
export function readOpenFlags(message: Buffer): number {
  return message.readUInt32LE(40);
}

/** The handle that begins release, flush and fsync requests. */
export function readHandle(message: Buffer): number {
  return u64(message, 40);
}

/** struct fuse_read_in and fuse_write_in (data at WRITE_DATA_OFFSET); READDIR too. */
export function readRange(message: Buffer): { handle: number; offset: number; size: number } {
  return { handle: u64(message, 40), offset: u64(message, 48), size: message.readUInt32LE(56) };
}

/**
 * Whether a WRITE is to be durable before its answer: struct fuse_write_in carries the flags of open(2), and
 * the kernel adds what pwritev2(2) or io_uring asked for (RWF_DSYNC, RWF_SYNC). O_SYNC has the bit of O_DSYNC
 * in it.
 */
export function isDurableWrite(message: Buffer): boolean {
  return (message.readUInt32LE(72) & constants.O_DSYNC) !== 0;
}

/** struct fuse_fallocate_in */
export function readFallocate(message: Buffer): {
  handle: number;
  offset: number;
  length: number;
  mode: number;
} {
  return {
    handle: u64(message, 40),
    offset: u64(message, 48),
    length: u64(message, 56),
    mode: message.readUInt32LE(64),
  };
}

/** struct fuse_lseek_in */
export function readLseek(message: Buffer): { handle: number; offset: number; whence: number } {
  return { handle: u64(message, 40), offset: u64(message, 48), whence: message.readUInt32LE(56) };
}

/** struct fuse_setattr_in */
export function readSetattr(message: Buffer): { valid: number; size: number } {
  return { valid: message.readUInt32LE(40), size: u64(message, 56) };
}

/** struct fuse_forget_in, struct fuse_batch_forget_in: how many lookups of which nodes are forgotten. */
export function readForgets(message: Buffer, header: InHeader): { nodeId: number; count: number }[] {
  if (header.opcode === Opcode.FORGET) return [{ nodeId: header.nodeId, count: u64(message, 40) }];
  const entries = message.readUInt32LE(40);
  return Array.from({ length: entries }, (_, i) => ({
    nodeId: u64(message, 48 + i * 16),
    count: u64(message, 56 + i * 16),
  }));
}

/** struct fuse_out_header over `message`, whose length is the reply's. */
export function packOutHeader(message: Buffer, unique: bigint, errno = 0): Buffer {
  message.writeUInt32LE(message.length, 0);
  message.writeInt32LE(-errno, 4);
  message.writeBigUInt64LE(unique, 8);
  return message;
}

export function packEmpty(unique: bigint): Buffer {
  return packOutHeader(Buffer.alloc(OUT_HEADER_SIZE), unique);
}

/** `errno` positive, as in errno(3). */
export function packError(unique: bigint, errno: number): Buffer {
  return packOutHeader(Buffer.alloc(OUT_HEADER_SIZE), unique, errno);
}

/** FUSE_NOTIFY_RESEND: an out header alone, whose error field says which notification it is. */
export function packResend(): Buffer {
  return packOutHeader(Buffer.alloc(OUT_HEADER_SIZE), 0n, -NOTIFY_RESEND);
}

export interface InitReply {
  readonly minor: number;
  readonly maxReadahead: number;
  readonly flags: number;
  readonly flags2: number;
  readonly maxBackground: number;
  readonly congestionThreshold: number;
  readonly maxWrite: number;
  readonly maxPages: number;
}

/** struct fuse_init_out */
export function packInit(unique: bigint, reply: InitReply): Buffer {
  const message = Buffer.alloc(OUT_HEADER_SIZE + 64);
  message.writeUInt32LE(PROTOCOL_MAJOR, 16);
  message.writeUInt32LE(reply.minor, 20);
  message.writeUInt32LE(reply.maxReadahead, 24);
  message.writeUInt32LE(reply.flags, 28);
  message.writeUInt16LE(reply.maxBackground, 32);
  message.writeUInt16LE(reply.congestionThreshold, 34);
  message.writeUInt32LE(reply.maxWrite, 36);
  message.writeUInt32LE(1, 40);
  message.writeUInt16LE(reply.maxPages, 44);
  message.writeUInt32LE(reply.flags2, 48);
  return packOutHeader(message, unique);
}

/** struct fuse_attr */
function putAttributes(message: Buffer, at: number, nodeId: number, attributes: Attributes): void {
  putU64(message, at, nodeId);
  putU64(message, at + 8, attributes.size);
  putU64(message, at + 16, attributes.blocks);
  const seconds = Math.floor(attributes.modifiedAt / 1000);
  const nanoseconds = Math.floor((attributes.modifiedAt - seconds * 1000) * 1e6);
  for (let i = 0; i < 3; i++) {
    putU64(message, at + 24 + i * 8, seconds);
    message.writeUInt32LE(nanoseconds, at + 48 + i * 4);
  }
  message.writeUInt32LE(attributes.mode, at + 60);
  message.writeUInt32LE(attributes.nlink, at + 64);
  message.writeUInt32LE(attributes.uid, at + 68);
  message.writeUInt32LE(attributes.gid, at + 72);
  message.writeUInt32LE(attributes.blockSize, at + 80);
}

/** struct fuse_entry_out, valid for no time at all: names and sizes change under the mount. */
export function packEntry(unique: bigint, nodeId: number, attributes: Attributes): Buffer {
  const message = Buffer.alloc(OUT_HEADER_SIZE + 128);
  putU64(message, 16, nodeId);
  putAttributes(message, 16 + 40, nodeId, attributes);
  return packOutHeader(message, unique);
}

/** struct fuse_attr_out, valid for no time at all. */
export function packAttributes(unique: bigint, nodeId: number, attributes: Attributes): Buffer {
  const message = Buffer.alloc(OUT_HEADER_SIZE + 104);
  putAttributes(message, 16 + 16, nodeId, attributes);
  return packOutHeader(message, unique);
}

/** struct fuse_open_out */
export function packOpen(unique: bigint, handle: number, openFlags: number): Buffer {
  const message = Buffer.alloc(OUT_HEADER_SIZE + 16);
  putU64(message, 16, handle);
  message.writeUInt32LE(openFlags, 24);
  return packOutHeader(message, unique);
}

/** struct fuse_write_out */
export function packWrite(unique: bigint, size: number): Buffer {
  const message = Buffer.alloc(OUT_HEADER_SIZE + 8);
  message.writeUInt32LE(size, 16);
  return packOutHeader(message, unique);
}

/** struct fuse_lseek_out */
export function packLseek(unique: bigint, offset: number): Buffer {
  const message = Buffer.alloc(OUT_HEADER_SIZE + 8);
  putU64(message, 16, offset);
  return packOutHeader(message, unique);
}

export interface StatfsReply {
  readonly blockSize: number;
  readonly total: number;
  readonly free: number;
  /** Inodes, in all and free. */
  readonly files: number;
  readonly filesFree: number;
  readonly nameMax: number;
}

/** struct fuse_statfs_out */
export function packStatfs(unique: bigint, reply: StatfsReply): Buffer {
  const message = Buffer.alloc(OUT_HEADER_SIZE + 80);
  putU64(message, 16, reply.total);
  putU64(message, 24, reply.free);
  putU64(message, 32, reply.free);
  putU64(message, 40, reply.files);
  putU64(message, 48, reply.filesFree);
  message.writeUInt32LE(reply.blockSize, 56);
  message.writeUInt32LE(reply.nameMax, 60);
  message.writeUInt32LE(reply.blockSize, 64);
  return packOutHeader(message, unique);
}

export interface DirectoryEntry {
  readonly name: string;
  readonly nodeId: number;
  readonly isDirectory: boolean;
}

const DT_DIR = 4;
const DT_REG = 8;
const DIRENT_SIZE = 24;

/**
 * struct fuse_dirent, as many from the one numbered `from` as fit into `size` bytes; each one's `off` is the
 * next one's number.
 */
export function packDirectory(
  unique: bigint,
  entries: readonly DirectoryEntry[],
  from: number,
  size: number,
): Buffer {
  const message = Buffer.alloc(OUT_HEADER_SIZE + size);
  let end = OUT_HEADER_SIZE;
  for (let i = from; i < entries.length; i++) {
    const entry = entries[i]!;
    const nameLength = Buffer.byteLength(entry.name);
    const next = end + Math.ceil((DIRENT_SIZE + nameLength) / 8) * 8;
    if (next > message.length) break;
    putU64(message, end, entry.nodeId);
    putU64(message, end + 8, i + 1);
    message.writeUInt32LE(nameLength, end + 16);
    message.writeUInt32LE(entry.isDirectory ? DT_DIR : DT_REG, end + 20);
    message.write(entry.name, end + DIRENT_SIZE);
    end = next;
  }
  return packOutHeader(message.subarray(0, end), unique);
}
