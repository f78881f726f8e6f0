import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, rename, unlink, type FileHandle } from 'node:fs/promises';
import { randomInt } from 'node:crypto';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import { isHidden } from '../format/device-name.js';
import type { DeviceName } from '../format/ids.js';
import { deviceFile, metadataFiles, poolFiles, type ProjectionSource } from './metadata-files.js';

/** As Go's ioutil.TempFile(dir, ".tmp") names them. */
const TEMPORARY = /^\.tmp\d+$/;
/** A device's file, by Docker or by thinfuse. */
export const DEVICE_FILE_START = '{"device_id":';
/** Far above any of these files; a longer one is not ours. */
const MAX_FILE = 64 * 1024;

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/**
 * Keeps Docker's `metadata/` folder (0700, files 0600) as the pool is. The first write from a pool, and any
 * after the folder was replaced, compares every file and repairs it; each one after it looks only at devices
 * that changed since. Files of devices that are gone go; other people's files stay.
 *
 * No link is followed: everything happens below the folder as it was opened. One write at a time, the caller
 * sees to that.
 */
export class MetadataProjection {
  readonly #folder: string;
  readonly #known = new Map<string, string>();
  #source: ProjectionSource | undefined;
  #watch: ReturnType<ProjectionSource['watch']> | undefined;
  /** Devices whose files may be behind. */
  readonly #changed = new Set<DeviceName>();
  /** Of the folder that `#known` describes. */
  #identity: string | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /**
   * Errors, each leaving whole files only, so that calling again later is enough: no-space (the host's disk
   * is full), read-only, permission, invalid-argument (the folder is a link or a file), io.
   */
  async write(source: ProjectionSource): Promise<void> {
    try {
      await this.#bring(source);
    } catch (error) {
      throw this.#failure(error);
    }
  }

  /** Watches the pool no more. */
  close(): void {
    this.#watch?.stop();
    this.#source = undefined;
  }

  async #bring(source: ProjectionSource): Promise<void> {
    const folder = await this.#open();
    try {
      // The entries of the open folder itself, wherever its path may lead by now.
      const at = `/proc/self/fd/${folder.fd}`;
      const { dev, ino, birthtimeNs } = await folder.stat({ bigint: true });
      // A folder made right after the old one went can have its inode number.
      const identity = `${dev}:${ino}:${birthtimeNs}`;
      if (identity !== this.#identity || source !== this.#source) await this.#bringAll(at, source, identity);
      else await this.#bringChanged(at, source);
    } finally {
      await folder.close();
    }
  }

  async #bringAll(at: string, source: ProjectionSource, identity: string): Promise<void> {
    if (source !== this.#source) {
      this.close();
      this.#watch = source.watch();
    }
    this.#source = source;
    // Until all of it is right, the next write begins here again.
    const isSame = identity === this.#identity;
    this.#identity = undefined;
    this.#watch?.take();
    this.#changed.clear();
    const files = await metadataFiles(source);
    if (!isSame) {
      this.#known.clear();
      await this.#look(at, files);
    }
    for (const [name, content] of files) await this.#set(at, name, content);
    for (const name of this.#known.keys()) if (!files.has(name)) await this.#set(at, name, undefined);
    this.#identity = identity;
  }

  async #bringChanged(at: string, source: ProjectionSource): Promise<void> {
    for (const name of this.#watch?.take() ?? []) if (!isHidden(name)) this.#changed.add(name);
    for (const name of this.#changed) {
      const device = source.device(name);
      await this.#set(at, name, device === undefined ? undefined : deviceFile(device));
      this.#changed.delete(name);
    }
    for (const [name, content] of poolFiles(source)) await this.#set(at, name, content);
  }

  /** Undefined: there is to be no such file. */
  async #set(at: string, name: string, content: string | undefined): Promise<void> {
    if (this.#known.get(name) === content) return;
    if (content === undefined) {
      await unlink(`${at}/${name}`).catch(ignoreMissing);
      this.#known.delete(name);
    } else {
      await replaceFile(at, name, content);
      this.#known.set(name, content);
    }
  }

  async #open(): Promise<FileHandle> {
    try {
      await mkdir(this.#folder, { mode: 0o700 });
      this.#identity = undefined;
    } catch (error) {
      if (systemErrorCode(error) !== 'EEXIST') throw error;
    }
    const folder = await open(this.#folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    try {
      if (((await folder.stat()).mode & 0o777) !== 0o700) await folder.chmod(0o700);
      return folder;
    } catch (error) {
      await folder.close();
      throw error;
    }
  }

  /** Learns what is right already and what is left of devices that are gone. */
  async #look(at: string, files: ReadonlyMap<string, string>): Promise<void> {
    for (const name of await readdir(at)) {
      if (TEMPORARY.test(name)) {
        await unlink(`${at}/${name}`).catch(ignoreMissing);
        continue;
      }
      const found = await readOwn(`${at}/${name}`);
      if (found === undefined) continue;
      const { content, mode } = found;
      if (files.has(name)) {
        if (mode === 0o600) this.#known.set(name, content);
      } else if (content.startsWith(DEVICE_FILE_START)) this.#known.set(name, content);
    }
  }

  #failure(error: unknown): ThinError {
    const folder = this.#folder;
    const said = error instanceof Error ? error.message : String(error);
    const reason = said.replaceAll(/\/proc\/self\/fd\/\d+/g, folder);
    const options = { cause: error, details: { path: folder } };
    switch (systemErrorCode(error)) {
      case 'ENOSPC':
      case 'EDQUOT':
        return new ThinError(
          'no-space',
          `the disk of ${folder} is full, so its files are behind the pool (which is intact); make room, and the daemon writes them with the next change`,
          options,
        );
      case 'EROFS':
        return new ThinError(
          'read-only',
          `${folder} is on a read-only filesystem; remount it writable`,
          options,
        );
      case 'EACCES':
      case 'EPERM':
        return new ThinError('permission', `${folder} cannot be written; run this as root`, options);
      case 'ELOOP':
      case 'ENOTDIR':
        return new ThinError(
          'invalid-argument',
          `${folder} is a symbolic link or a file; remove it, and the daemon makes the folder with the next change`,
          options,
        );
      default:
        return new ThinError(
          'io',
          `the files in ${folder} cannot be written (${reason}); find the cause, or remove the folder: the daemon makes it again`,
          options,
        );
    }
  }
}

/**
 * A regular file's text and permissions; undefined for anything else, which is then replaced where its name
 * is needed.
 */
async function readOwn(path: string): Promise<{ content: string; mode: number } | undefined> {
  // Opening a device can do things, and a named pipe would block without O_NONBLOCK.
  if (!(await lstat(path)).isFile()) return undefined;
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const { size, mode } = await file.stat();
    return size <= MAX_FILE ? { content: await file.readFile('utf8'), mode: mode & 0o777 } : undefined;
  } finally {
    await file.close();
  }
}

/**
 * A reader sees the whole file or none. Docker's writeMetaFile syncs each one, milliseconds in every
 * operation; here a power failure may leave files behind the pool or empty, and the next start writes them
 * again before it serves.
 */
async function replaceFile(at: string, name: string, content: string): Promise<void> {
  const temporary = `${at}/.tmp${randomInt(2 ** 47)}`;
  const file = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    try {
      await file.writeFile(content);
    } finally {
      await file.close();
    }
    await rename(temporary, `${at}/${name}`);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    throw error;
  }
}

function ignoreMissing(error: unknown): void {
  if (systemErrorCode(error) !== 'ENOENT') throw error;
}
