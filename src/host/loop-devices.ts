import { readFileSync } from 'node:fs';
import { access, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { retried, until } from '../async/until.js';
import { ThinError } from '../errors/thin-error.js';
import { saidBy, type Exec } from './exec.js';

const CONTROL = '/dev/loop-control';
const REMEDY = 'load the driver with: modprobe loop; in a container, run it with --privileged -v /dev:/dev';
/**
 * A filesystem keeps the sector size it was made with, and a loop device with direct I/O takes its backing
 * file's: asked for by name, a device made on one host mounts on any other.
 */
const SECTOR_SIZE = 512;
const POLL_MS = 20;
/**
 * A device that is detached with its last user may be another program's before it is detached by its number.
 * It cannot go while it is open: its holder can look which file is behind it, and then detach it. A shell
 * holds it, because the last close may wait for the backing file, which this process may serve.
 */
const DETACH_HELD = 'if [ "$(cat "$2")" = "$3" ]; then losetup --detach "$1"; fi 3<"$1"';

export interface LoopDevice {
  /** /dev/loopN. */
  readonly device: string;
  /**
   * As the kernel shows it: a file on a mount that was lazily unmounted has its path from that mount's root.
   */
  readonly backingFile: string;
  /** The backing file was unlinked. */
  readonly deleted: boolean;
  readonly readOnly: boolean;
  readonly directIo: boolean;
  /** It was detached while in use; the kernel removes it after its last user. */
  readonly autoclear: boolean;
}

export interface AttachedLoop {
  readonly device: string;
  /** As the kernel shows it: without symbolic links. */
  readonly backingFile: string;
  /** False where it was not asked for, or the kernel refused it for this backing file. */
  readonly directIo: boolean;
}

export interface LoopLimits {
  /** Milliseconds for which an attach is tried again that loses its loop device to another process. */
  readonly attachMs: number;
  /** Milliseconds that a detached device may take to go, and a grown file to be seen. */
  readonly settleMs: number;
  /** Milliseconds for one losetup. */
  readonly toolMs: number;
}

export const LOOP_LIMITS: LoopLimits = { attachMs: 5_000, settleMs: 5_000, toolMs: 60_000 };

/**
 * Loop devices through losetup(8) to change them and /sys to look at them, which never touches a backing
 * file.
 */
export class LoopDevices {
  readonly #exec: Exec;
  readonly #limits: LoopLimits;
  readonly #sys: string;

  constructor(exec: Exec, limits: LoopLimits = LOOP_LIMITS, sysBlock = '/sys/block') {
    this.#exec = exec;
    this.#limits = limits;
    this.#sys = sysBlock;
  }

  /**
   * Errors: missing-device (no loop driver, or none free), permission, not-found (no such file),
   * missing-tool, tool-failed, timeout. `directIo` defaults to true.
   */
  async attach(
    file: string,
    options: { readOnly?: boolean; directIo?: boolean } = {},
  ): Promise<AttachedLoop> {
    const directIo = options.directIo ?? true;
    const plain = ['--find', '--show', ...(options.readOnly === true ? ['--read-only'] : [])];
    const wanted = [...plain, `--direct-io=${directIo ? 'on' : 'off'}`, '--sector-size', String(SECTOR_SIZE)];
    const before = await this.list();
    try {
      return await this.#tryAttach(wanted, file);
    } catch (error) {
      if (!saidBy(error, /direct io|sector size|block size|invalid argument/i))
        throw await attachError(file, error);
      await this.#detachNew(file, before);
    }
    try {
      return await this.#tryAttach(plain, file);
    } catch (error) {
      throw await attachError(file, error);
    }
  }

  /**
   * Resolves when the device is no longer attached to `file`; one that is free already, or another file's by
   * now, is left alone. Errors: busy (something still uses it: a mount in another namespace, a process; it is
   * removed after its last user), as `attach`.
   */
  async detach(device: string, file: string): Promise<void> {
    const attribute = this.#backingFileOf(device);
    const shown = readAttribute(attribute);
    if (shown === undefined || !isSameFile(shown, file)) return;
    try {
      await this.#exec.run('sh', ['-c', DETACH_HELD, 'sh', device, attribute, shown], {
        timeoutMs: this.#limits.toolMs,
      });
    } catch (error) {
      if (!saidBy(error, /no such device|no such file|cannot open/i)) throw error;
    }
    if (await this.#settled(() => Promise.resolve(!this.isBehind(device, file)))) return;
    throw new ThinError(
      'busy',
      `${device} is still in use, so ${file} stays attached until its last user ends: another mount of its filesystem (look in other mount namespaces: grep ${device} /proc/*/mountinfo) or a process that has the device open (fuser -v ${device})`,
      { details: { loop: device, path: file } },
    );
  }

  /**
   * For a device that is in use: the kernel detaches it after its last user, without a `detach`. Errors: as
   * `attach`.
   */
  async detachWithLastUser(device: string): Promise<void> {
    await this.#losetup(['--detach', device]);
  }

  /**
   * The device takes its file's present size. `expected` (bytes): waits until the kernel has seen that the
   * file grew so far, since a FUSE file's size is cached. Errors: timeout (it never did), tool-failed.
   */
  async setCapacity(device: string, expected?: number): Promise<void> {
    const loop = await this.get(device);
    if (loop === undefined)
      throw new ThinError('not-found', `${device} is attached to no file; mount the device again`, {
        details: { loop: device },
      });
    const grown = async (): Promise<boolean> => {
      // The kernel asks the file for its size only at a stat.
      await this.#exec.run('stat', ['--format=%s', '--', loop.backingFile], {
        timeoutMs: this.#limits.toolMs,
      });
      await this.#losetup(['--set-capacity', device]);
      return expected === undefined || (await this.capacity(device)) >= expected;
    };
    if (await this.#settled(grown)) return;
    throw new ThinError(
      'timeout',
      `${device} still has ${await this.capacity(device)} bytes, though ${loop.backingFile} should have ${expected}; unmount the device and mount it again`,
      { details: { loop: device, path: loop.backingFile } },
    );
  }

  /** Bytes; 0 for a device that is free. */
  capacity(device: string): Promise<number> {
    const sectors = readAttribute(path.join(this.#sys, path.basename(device), 'size'));
    return Promise.resolve(Number(sectors ?? 0) * 512);
  }

  /** Devices that have a backing file, by number. */
  async list(): Promise<readonly LoopDevice[]> {
    const names = (await readdir(this.#sys).catch(() => [])).filter((name) => /^loop\d+$/.test(name));
    return names
      .map((name) => this.#look(`/dev/${name}`))
      .filter((device) => device !== undefined)
      .sort((a, b) => Number(a.device.slice(9)) - Number(b.device.slice(9)));
  }

  /** Undefined for a device that is free. */
  get(device: string): Promise<LoopDevice | undefined> {
    return Promise.resolve(this.#look(device));
  }

  /** Whether the device has that backing file; cheaper than `get`. */
  isOn(device: string, file: string): boolean {
    const shown = readAttribute(this.#backingFileOf(device));
    return shown !== undefined && splitDeleted(shown).backingFile === file;
  }

  /** As `isOn`, also where the mount that the file was on has been lazily unmounted since. */
  isBehind(device: string, file: string): boolean {
    const shown = readAttribute(this.#backingFileOf(device));
    return shown !== undefined && isSameFile(shown, file);
  }

  async findByBackingFile(file: string): Promise<readonly LoopDevice[]> {
    return (await this.list()).filter((loop) => loop.backingFile === file);
  }

  #backingFileOf(device: string): string {
    return path.join(this.#sys, path.basename(device), 'loop/backing_file');
  }

  #look(device: string): LoopDevice | undefined {
    const folder = path.join(this.#sys, path.basename(device));
    const backing = readAttribute(this.#backingFileOf(device));
    if (backing === undefined || backing === '') return undefined;
    const is = (name: string): boolean => readAttribute(path.join(folder, name)) === '1';
    return {
      device,
      ...splitDeleted(backing),
      directIo: is('loop/dio'),
      readOnly: is('ro'),
      autoclear: is('loop/autoclear'),
    };
  }

  #tryAttach(args: readonly string[], file: string): Promise<AttachedLoop> {
    const attach = async (): Promise<AttachedLoop> => {
      const { stdout } = await this.#losetup([...args, '--', file]);
      const device = stdout.trim();
      const found = await this.get(device);
      return { device, backingFile: found?.backingFile ?? file, directIo: found?.directIo ?? false };
    };
    const lostRace = (error: unknown): boolean => saidBy(error, /resource busy|temporarily unavailable/i);
    return retried(attach, lostRace, { limitMs: this.#limits.attachMs, pollMs: POLL_MS });
  }

  /** An losetup that fails half way may leave its device attached. */
  async #detachNew(file: string, before: readonly LoopDevice[]): Promise<void> {
    const known = new Set(before.map(({ device }) => device));
    for (const { device } of await this.findByBackingFile(file))
      if (!known.has(device)) await this.detach(device, file);
  }

  async #losetup(args: readonly string[]): Promise<{ stdout: string }> {
    return this.#exec.run('losetup', args, { timeoutMs: this.#limits.toolMs });
  }

  async #settled(done: () => Promise<boolean>): Promise<boolean> {
    return until(done, { limitMs: this.#limits.settleMs, pollMs: POLL_MS });
  }
}

/** /sys appends this to the path of a file that was unlinked. */
function splitDeleted(text: string): { backingFile: string; deleted: boolean } {
  const mark = ' (deleted)';
  return text.endsWith(mark)
    ? { backingFile: text.slice(0, -mark.length), deleted: true }
    : { backingFile: text, deleted: false };
}

/** @param shown a backing file as /sys shows it: below its mount alone, where that was lazily unmounted */
function isSameFile(shown: string, file: string): boolean {
  const { backingFile } = splitDeleted(shown);
  return backingFile === file || backingFile === `/${path.basename(file)}`;
}

/** The kernel answers from memory: a round trip through the thread pool would take longer than the call. */
function readAttribute(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').replace(/\n$/, '');
  } catch {
    return undefined;
  }
}

async function attachError(file: string, error: unknown): Promise<unknown> {
  if (!(error instanceof ThinError) || error.code !== 'tool-failed') return error;
  const details = { path: file };
  const options = { cause: error, details };
  if (!(await exists(CONTROL)))
    return new ThinError(
      'missing-device',
      `${file} cannot be attached: ${CONTROL} is missing; ${REMEDY}`,
      options,
    );
  if (saidBy(error, /permission denied|operation not permitted/i))
    return new ThinError(
      'permission',
      `${file} cannot be attached to a loop device; run as root, and in a container with --privileged`,
      options,
    );
  if (saidBy(error, /no such file/i) && !(await exists(file)))
    return new ThinError(
      'not-found',
      `${file} cannot be attached to a loop device: there is no such file; activate its device first`,
      options,
    );
  if (saidBy(error, /cannot find an unused loop device|no such (file|device)/i))
    return new ThinError(
      'missing-device',
      `${file} cannot be attached: no loop device is free, or its node is missing from /dev; ${REMEDY}`,
      options,
    );
  return error;
}

async function exists(file: string): Promise<boolean> {
  const look = file.startsWith('/dev/') ? access(file) : stat(file);
  return look.then(
    () => true,
    () => false,
  );
}
