import { ThinError } from '../errors/thin-error.js';
import { saidBy, type Exec } from './exec.js';
import type { DeviceContent, FilesystemTools } from './filesystem-tools.js';
import { canSkipLog, mountOptions, type Filesystem } from './filesystems.js';

/**
 * How a read-only mount treats a log that is not clean. `clean`: it fails. `replay`: the kernel replays it,
 * so the device is written. Undefined: it is left alone, and the files are as they are without it.
 */
export type LogHandling = 'clean' | 'replay' | undefined;

export interface BlockMountRequest {
  /** Name of the device in messages. */
  readonly image: string;
  /** The expected filesystem. */
  readonly filesystem: Filesystem;
  readonly readOnly: boolean;
  /** Only for read-only mounts. */
  readonly log?: LogHandling;
  /** As `dm.mountopt`, comma-separated; empty for none. */
  readonly mountOptions?: string;
}

export interface MountedBlock {
  /** As blkid names it: the one asked for, or what a user made there instead. */
  readonly filesystem: string;
  /** A read-only mount whose log was not clean shows the filesystem as it is without it. */
  readonly skippedLog: boolean;
}

/** Mounts block devices as what they are. */
export class BlockMounts {
  readonly #exec: Exec;
  readonly #filesystems: FilesystemTools;
  readonly #timeoutMs: number;

  constructor(exec: Exec, filesystems: FilesystemTools, timeoutMs: number) {
    this.#exec = exec;
    this.#filesystems = filesystems;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Errors: tool-failed (mount(8) said no, be it for a log that is not clean), missing-device (the kernel has
   * no such filesystem), damaged (there is nothing on the device), unsupported (what is there is no
   * filesystem), timeout.
   */
  async mount(device: string, target: string, request: BlockMountRequest): Promise<MountedBlock> {
    const { filesystem } = request;
    try {
      return await this.#mountAs(filesystem, device, target, request);
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'tool-failed') throw error;
      const found = await this.#filesystems.content(device).catch(() => undefined);
      if (found === undefined || (found.kind === 'filesystem' && found.type === filesystem)) throw error;
      if (found.kind === 'filesystem') return this.#mountAs(found.type, device, target, request);
      throw notMountable(error, found, target, request);
    }
  }

  async #mountAs(
    type: string,
    device: string,
    target: string,
    request: BlockMountRequest,
  ): Promise<MountedBlock> {
    const { readOnly, log } = request;
    const attempt = async (skipLog: boolean): Promise<MountedBlock> => {
      const options = mountOptions(type, {
        readOnly,
        skipLog,
        extra: request.mountOptions ?? '',
        foreign: type !== request.filesystem,
      });
      const args = ['-t', type, ...(options === '' ? [] : ['-o', options]), device, target];
      await this.#exec.run('mount', args, { timeoutMs: this.#timeoutMs });
      return { filesystem: type, skippedLog: skipLog };
    };
    try {
      return await attempt(false);
    } catch (error) {
      if (saidBy(error, /unknown filesystem type/i))
        throw new ThinError('missing-device', `this kernel has no ${type}; load it with: modprobe ${type}`, {
          cause: error,
          details: { path: request.image, target, filesystem: type },
        });
      if (!readOnly || log !== undefined || !canSkipLog(type)) throw error;
      if (!(error instanceof ThinError) || error.code !== 'tool-failed') throw error;
      // The first failure is the one to tell.
      return attempt(true).catch(() => Promise.reject(error));
    }
  }
}

function notMountable(
  cause: ThinError,
  found: Exclude<DeviceContent, { kind: 'filesystem' }>,
  target: string,
  { image, filesystem }: BlockMountRequest,
): ThinError {
  const options = { cause, details: { path: image, target, filesystem } };
  const itself = 'use its image file: thinfuse activate, then losetup --partscan --find --show';
  switch (found.kind) {
    case 'partitions':
      return new ThinError(
        'unsupported',
        `${image} has a partition table (${found.type}) and no filesystem of its own where ${filesystem} was expected; to mount a partition, ${itself}`,
        options,
      );
    case 'other':
      return new ThinError(
        'unsupported',
        `${image} has ${nameOf(found.type)} and no filesystem where ${filesystem} was expected; to reach what is in it, ${itself}`,
        options,
      );
    case 'nothing':
      return new ThinError(
        'damaged',
        `${image} has no filesystem where ${filesystem} was expected; mount an older snapshot, or make the device again`,
        options,
      );
  }
}

const NAMES: Readonly<Record<string, string>> = {
  LVM2_member: 'an LVM physical volume',
  LVM1_member: 'an LVM physical volume',
  crypto_LUKS: 'an encrypted volume (LUKS)',
  linux_raid_member: 'a member of a RAID array',
  swap: 'swap space',
};

function nameOf(type: string): string {
  return NAMES[type] ?? `content of type ${type}`;
}
