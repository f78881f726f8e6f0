import { fork, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { Journal, type Progress } from './journal.js';
import { PAGES, type PlaceKind } from './places.js';
import type { WriterOrder, WriterReport } from './writer.js';

const WRITER = path.join(import.meta.dirname, 'writer.ts');
const LOADER = path.resolve(import.meta.dirname, '../../node_modules/tsx/dist/loader.mjs');

export interface Stopped {
  /** What ended it, as errno's name; undefined: it was told to stop. */
  readonly error: string | undefined;
}

/** A writer, as the harness sees it. */
export class WriterProcess {
  readonly number: number;
  readonly device: string;
  readonly kind: PlaceKind;
  /** Syncs that it was told of as done, over its life. */
  syncs = 0;
  readonly #journal: Journal;
  readonly #child: ChildProcess;
  readonly #ready: Promise<unknown>;
  #running: Promise<Stopped> | undefined;

  constructor(parts: { number: number; device: string; kind: PlaceKind; journal: string; seed: number }) {
    this.number = parts.number;
    this.device = parts.device;
    this.kind = parts.kind;
    this.#journal = new Journal(parts.journal, PAGES);
    this.#child = fork(WRITER, [parts.journal, String(parts.number), String(parts.seed)], {
      execArgv: ['--import', LOADER],
    });
    this.#ready = this.#next('noted');
  }

  get progress(): Progress {
    return this.#journal.read();
  }

  async write(where: string): Promise<void> {
    await this.#ready;
    this.#running = this.#next('stopped').then(({ syncs, error }) => {
      this.syncs += syncs;
      return { error };
    });
    this.#running.catch(() => undefined);
    this.#order({ kind: 'write', place: this.kind, where });
  }

  /** Resolves when it writes no more, which it does not by itself unless writing failed. */
  async stopped(): Promise<Stopped> {
    return (await this.#running) ?? { error: undefined };
  }

  async pause(): Promise<Stopped> {
    this.#order({ kind: 'pause' });
    return this.stopped();
  }

  async found(sequences: Uint32Array): Promise<void> {
    const noted = this.#next('noted');
    this.#order({ kind: 'found', sequences: [...sequences] });
    await noted;
  }

  end(): void {
    this.#journal.close();
    this.#child.kill('SIGKILL');
  }

  #order(order: WriterOrder): void {
    this.#child.send(order);
  }

  #next<K extends WriterReport['kind']>(kind: K): Promise<Extract<WriterReport, { kind: K }>> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error(`the writer of ${this.device} has ended`));
      const receive = (message: WriterReport): void => {
        if (message.kind !== kind) return;
        this.#child.off('message', receive).off('exit', ended);
        resolve(message as Extract<WriterReport, { kind: K }>);
      };
      this.#child.on('message', receive).once('exit', ended);
    });
  }
}
