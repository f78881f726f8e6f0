import { Archive } from '../host/archive.js';
import { ChildProcessExec } from '../host/exec.js';
import { inspectSource } from '../host/image-source.js';
import type { Context } from './context.js';
import { withProgress } from './progress.js';

export interface Importer {
  /** Fills an empty folder; returns what the tools said. Errors: as `Archive.import`. */
  unpackInto(folder: string, signal: AbortSignal): Promise<readonly string[]>;
}

/** Looks at the source before anything is made. Errors: as `inspectSource`. */
export async function importer(context: Context, source: string): Promise<Importer> {
  const exec = new ChildProcessExec();
  const { path } = await inspectSource(exec, source);
  const archive = new Archive(exec);
  return {
    unpackInto: async (folder, signal) => {
      const { warnings } = await withProgress(context, 'unpacking', (onProgress) =>
        archive.import(path, folder, { signal, ...(onProgress === undefined ? {} : { onProgress }) }),
      );
      return warnings;
    },
  };
}
