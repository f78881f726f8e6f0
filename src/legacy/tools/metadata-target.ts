import { closeSync, constants, fsyncSync, openSync, writeSync } from 'node:fs';
import { systemErrorCode, ThinError } from '../../errors/thin-error.js';
import { METADATA_BLOCK } from '../disk-block.js';
import { requireUnused } from '../in-use.js';
import { hasLvm } from '../lvm/has-lvm.js';
import { SourceFile } from '../source-file.js';

/** Metadata of a pool that nothing uses, opened to be mended in place. */
export class MetadataTarget {
  readonly #fd: number;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** Errors: unsupported (on a disk of LVM), busy, permission, io; as `SourceFile`. */
  static async open({
    metadata,
    pool,
  }: {
    readonly metadata: readonly string[];
    readonly pool?: string;
  }): Promise<MetadataTarget> {
    const [path, ...others] = metadata;
    if (path === undefined || others.length > 0 || pool !== undefined || isLvm(path))
      throw new ThinError(
        'unsupported',
        'disks of LVM are only read; activate the metadata on a host with LVM, or mend a copy: metadata-pack, metadata-unpack, check',
      );
    await requireUnused(path);
    try {
      // O_EXCL: a block device that is mounted, or that the kernel uses in another way, is refused.
      return new MetadataTarget(openSync(path, constants.O_RDWR | constants.O_EXCL));
    } catch (error) {
      const code = systemErrorCode(error);
      const options = { cause: error, details: { path } };
      if (code === 'EBUSY') throw new ThinError('busy', `${path} is in use; stop the pool first`, options);
      if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS')
        throw new ThinError(
          'permission',
          `${path} may not be written to; run as root, or mend a copy`,
          options,
        );
      throw new ThinError('io', `${path} cannot be opened: ${String(error)}`, options);
    }
  }

  /** `bytes`: of a whole block; on disk when it returns. Errors: io. */
  write(block: number, bytes: Uint8Array): void {
    try {
      writeSync(this.#fd, bytes, 0, METADATA_BLOCK, block * METADATA_BLOCK);
      fsyncSync(this.#fd);
    } catch (error) {
      throw new ThinError('io', `block ${block} of the metadata cannot be written: ${String(error)}`, {
        cause: error,
      });
    }
  }

  close(): void {
    closeSync(this.#fd);
  }
}

function isLvm(path: string): boolean {
  const file = new SourceFile(path, '--metadata');
  try {
    return hasLvm(file);
  } finally {
    file.close();
  }
}
