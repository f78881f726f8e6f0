import type { Incompleteness } from '../api/operations.js';
import { ThinError } from '../errors/thin-error.js';
import { Archive, type Progress } from '../host/archive.js';
import { saidBy, type Exec } from '../host/exec.js';
import type { MappingRun } from '../metadata/mapping-runs.js';
import type { MappedRun } from './copy-pieces.js';
import { exportRaw, writeOutput } from './output-file.js';
import type { PoolAccess } from './pool-access.js';
import { filesOfDevice, withEmptyFolder } from './rootfs.js';
import { withStill } from './still-device.js';
import { withView } from './view.js';

export interface ExportOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Hears what tar(1) warned of. */
  readonly onNote?: ((text: string) => void) | undefined;
}

/**
 * Writes devices for other programs, each at one moment while its users continue. A file appears whole or not
 * at all. Errors of all: not-found (the device, the file's folder), busy, no-space, permission, read-only,
 * io, damaged, closed.
 */
export class DeviceExport {
  readonly #access: PoolAccess;
  readonly #exec: Exec;
  readonly #options: ExportOptions;

  constructor(access: PoolAccess, exec: Exec, options: ExportOptions = {}) {
    this.#access = access;
    this.#exec = exec;
    this.#options = options;
  }

  /** The device's files as a tar. Needs a daemon. */
  async tar(
    name: string,
    target: { readonly fd: number } | { readonly file: string },
  ): Promise<Incompleteness> {
    return withStill(this.#access, name, (still) =>
      withView(this.#access, still.name, async ({ path, lacks }) => {
        const files = await filesOfDevice(path, still.device);
        await (files === undefined
          ? withEmptyFolder((empty) => this.#pack(empty, target))
          : this.#pack(files, target));
        return { lacks };
      }),
    );
  }

  /** Its bytes, with holes where it maps nothing. */
  async raw(name: string, output: string): Promise<Incompleteness> {
    const { signal, onProgress } = this.#options;
    return withStill(this.#access, name, async (still) => {
      const { size, mapped } = still.device;
      const { blockSize } = await this.#access.call('pool.info', {});
      let done = 0;
      const onBytes = (bytes: number): void => {
        done += bytes;
        onProgress?.({ done, total: Math.max(done, mapped) });
      };
      const read = (offset: number, into: Uint8Array): Promise<void> => still.read(offset, into);
      await exportRaw({ runs: inPlace(still.runs()), read, blockSize, size }, output, { signal, onBytes });
      return { lacks: still.lacks };
    });
  }

  /**
   * qemu-img asks the image file where its holes are. Needs a daemon. Errors: missing-tool, unsupported (no
   * image files).
   */
  async qcow2(name: string, output: string): Promise<Incompleteness> {
    const { signal } = this.#options;
    return withStill(this.#access, name, async (still) => {
      const image = await still.path();
      await writeOutput(output, async (part) => {
        const args = ['convert', '--force-share', '-f', 'raw', '-O', 'qcow2', image, part];
        try {
          await this.#exec.run('qemu-img', args, { signal });
        } catch (error) {
          if (!saidBy(error, /no space left on device/i)) throw error;
          throw new ThinError('no-space', `no space is left for ${output}; write it to a larger disk`, {
            cause: error,
            details: { path: output },
          });
        }
      });
      return { lacks: still.lacks };
    });
  }

  async #pack(folder: string, target: { readonly fd: number } | { readonly file: string }): Promise<void> {
    const { signal, onProgress, onNote } = this.#options;
    const archive = new Archive(this.#exec);
    for (const warning of await archive.export(folder, target, { signal, onProgress })) onNote?.(warning);
  }
}

/** The image file has the data where the device has it. */
async function* inPlace(runs: AsyncIterable<MappingRun>): AsyncGenerator<MappedRun> {
  for await (const { begin, length } of runs) yield { begin, data: begin, length };
}
