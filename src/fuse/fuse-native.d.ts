/**
 * What thinfuse uses of fuse-native 2.2.6, which ships no types. Result codes are 0, a byte count, or a
 * negated errno.
 */
declare module 'fuse-native' {
  type Reply = (code: number) => void;

  interface Stat {
    mode: number;
    nlink: number;
    uid: number;
    gid: number;
    size: number;
    blocks: number;
    blksize: number;
    /** Unix time, milliseconds. */
    mtime: number;
    atime: number;
    ctime: number;
  }

  /** All fields are cut to 32 bits. */
  interface StatFs {
    bsize: number;
    frsize: number;
    blocks: number;
    bfree: number;
    bavail: number;
    files: number;
    ffree: number;
    favail: number;
    namemax: number;
  }

  interface Operations {
    getattr(path: string, reply: (code: number, stat?: Stat) => void): void;
    readdir(path: string, reply: (code: number, names?: readonly string[]) => void): void;
    statfs(path: string, reply: (code: number, space?: StatFs) => void): void;
    open(path: string, flags: number, reply: (code: number, handle?: number) => void): void;
    opendir(path: string, flags: number, reply: (code: number, handle?: number) => void): void;
    release(path: string, handle: number, reply: Reply): void;
    releasedir(path: string, handle: number, reply: Reply): void;
    /** `buffer` is libfuse's own memory: taken away (detached) when `reply` is called. */
    read(path: string, handle: number, buffer: Buffer, length: number, offset: number, reply: Reply): void;
    write(path: string, handle: number, buffer: Buffer, length: number, offset: number, reply: Reply): void;
    flush(path: string, handle: number, reply: Reply): void;
    fsync(path: string, dataOnly: number, handle: number, reply: Reply): void;
    fsyncdir(path: string, dataOnly: number, handle: number, reply: Reply): void;
    truncate(path: string, size: number, reply: Reply): void;
    ftruncate(path: string, handle: number, size: number, reply: Reply): void;
    chmod(path: string, mode: number, reply: Reply): void;
    chown(path: string, uid: number, gid: number, reply: Reply): void;
    /** The second time is the first again (a bug there), and UTIME_NOW comes as a nonsense number. */
    utimens(path: string, atime: number, mtime: number, reply: Reply): void;
    create(path: string, mode: number, reply: (code: number, handle?: number) => void): void;
    mknod(path: string, mode: number, device: number, reply: Reply): void;
    mkdir(path: string, mode: number, reply: Reply): void;
    unlink(path: string, reply: Reply): void;
    rmdir(path: string, reply: Reply): void;
    rename(path: string, to: string, reply: Reply): void;
    link(path: string, to: string, reply: Reply): void;
    symlink(path: string, to: string, reply: Reply): void;
  }

  class Fuse {
    constructor(mountPoint: string, operations: Partial<Operations>, options: { timeout: false });
    /** The one argument that libfuse is started with: `-oA,B,C`. */
    protected _fuseOptions(): string;
    open(done: (error: Error | null) => void): void;
    close(done: (error: Error | null) => void): void;
    /** Looked up at each close, so it can be replaced. */
    static unmount(mountPoint: string, done: (error: Error | null) => void): void;
  }

  export default Fuse;
  export type { Operations, Stat, StatFs };
}
