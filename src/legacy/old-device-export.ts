import type { Incompleteness } from '../api/operations.js';
import type { Progress } from '../host/archive.js';
import { exportRaw } from '../transfer/output-file.js';
import { imageRuns } from './image-runs.js';
import type { OpenedOldDevice } from './old-device.js';

export interface OldExportRequest {
  readonly signal: AbortSignal;
  readonly onProgress: ((progress: Progress) => void) | undefined;
  /** Hears what does not keep the file from being whole. */
  readonly onNote: (text: string) => void;
}

/** Writes a device of an old pool to a file, whole or not at all. */
export class OldDeviceExport {
  readonly #device: OpenedOldDevice;
  readonly #request: OldExportRequest;

  constructor(device: OpenedOldDevice, request: OldExportRequest) {
    this.#device = device;
    this.#request = request;
  }

  /** Its bytes, with holes. Errors: exists, no-space, io; closed (the signal). */
  async raw(output: string): Promise<Incompleteness> {
    const { size, image, number, origin } = this.#device;
    const { signal, onProgress } = this.#request;
    let done = 0;
    const read = async (offset: number, into: Uint8Array): Promise<void> => image.read(offset, into);
    await exportRaw({ runs: imageRuns(image), read, blockSize: 1, size }, output, {
      signal,
      sparse: number === undefined || origin !== undefined,
      onBytes: (bytes) => {
        done += bytes;
        onProgress?.({ done, total: Math.max(done, image.mappedBytes) });
      },
    });
    return {};
  }

  /** Its files, as a tar. Errors: as `mountDevice` and `Archive.export`. */
  async tar(output: string): Promise<Incompleteness> {
    const { signal, onProgress, onNote } = this.#request;
    // What mounts and packs takes as long to load as a small device to write; a raw image needs none of it.
    const { Archive } = await import('../host/archive.js');
    const { ChildProcessExec } = await import('../host/exec.js');
    const { filesOf, withEmptyFolder } = await import('../transfer/rootfs.js');
    const { mountDevice } = await import('./mounted-device.js');
    return withEmptyFolder(async (folder) => {
      const mounted = await mountDevice(this.#device, folder, 'kernel', onNote);
      try {
        const root = (await filesOf(mounted.target)) ?? mounted.target;
        const archive = new Archive(new ChildProcessExec());
        for (const warning of await archive.export(root, { file: output }, { signal, onProgress }))
          onNote(warning);
        return { lacks: mounted.lacks };
      } finally {
        await mounted.unmount({ lazily: true });
        await mounted.end();
      }
    });
  }
}
