import { fork, type ChildProcess } from 'node:child_process';
import { ThinError } from '../../errors/thin-error.js';
import { ended } from '../../host/child-end.js';
import { programBeside } from '../../host/own-program.js';
import type { LayerBlob, LayerReply, LayerTask } from './layer-task.js';

/** To give up what was begun. */
const PATIENCE_MS = 2000;

/**
 * A process that makes one layer. It reads the mounted files with calls that block, which the process that
 * serves those files must not do; and it ends with this one.
 */
export class LayerProcess {
  readonly #child: ChildProcess;

  constructor(entry = programBeside(import.meta.url, 'layer-server-entry')) {
    this.#child = fork(entry, {
      detached: true,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    // What fails there is told to `make`.
    this.#child.on('error', () => undefined);
  }

  /** 0: it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Once. Errors: those of `makeLayer`; closed (`signal`), tool-failed (it ended without an answer). */
  make(task: LayerTask, signal: AbortSignal): Promise<LayerBlob> {
    return new Promise((resolve, reject) => {
      const stop = (): void =>
        reject(new ThinError('closed', 'the caller no longer waits for the layer, or the daemon stops'));
      if (signal.aborted) stop();
      signal.addEventListener('abort', stop, { once: true });
      const gone = (error?: Error): void =>
        reject(
          new ThinError('tool-failed', 'the process that makes layers has ended; try again', {
            cause: error,
          }),
        );
      this.#child.once('exit', () => gone());
      this.#child.once('error', gone);
      this.#child.once('message', (reply) => settle(reply as LayerReply, resolve, reject));
      this.#child.send(task, (error) => {
        if (error !== null) gone(error);
      });
    });
  }

  /** Resolves when it uses no files any more; what it has written of a layer goes. */
  async end(): Promise<void> {
    if (this.#child.pid === undefined) return;
    if (this.#child.connected) this.#child.disconnect();
    // It may be in a call that blocks.
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), PATIENCE_MS);
    await ended(this.#child);
    clearTimeout(kill);
  }
}

function settle(
  reply: LayerReply,
  resolve: (blob: LayerBlob) => void,
  reject: (error: ThinError) => void,
): void {
  if ('blob' in reply) {
    resolve(reply.blob);
    return;
  }
  const { code, message, details } = reply.failure;
  reject(new ThinError(code, message, { details }));
}
