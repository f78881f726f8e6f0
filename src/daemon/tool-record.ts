import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import * as z from 'zod';
import { ThinError } from '../errors/thin-error.js';
import type { ToolServer } from '../host/tool-server.js';
import { describeTools, EarlierTools, type ToolMark, type ToolProcess } from '../host/tool-processes.js';
import type { RootLayout } from '../config/root-layout.js';

const marks = z.array(z.object({ token: z.string(), sessions: z.array(z.number()) }));

/** What gives back space of the data file, and must not do so when that is another's by now. */
const PUNCHER = 'xfs_io';
const PUNCHER_PATIENCE_MS = 10_000;
const PATIENCE_MS = 60_000;

/**
 * `<root>/tools` names the processes that are tools of the pool's daemon. The next daemon ends them before it
 * trusts the mount table or the data file, because a mount(8) or losetup(8) continues after its daemon was
 * killed. The caller holds the pool's lock.
 */
export class ToolRecord {
  readonly #file: string;
  readonly #onWarning: (text: string) => void;
  #earlier: readonly ToolMark[] = [];
  #own: ToolMark | undefined;

  constructor({ tools }: Pick<RootLayout, 'tools'>, onWarning: (text: string) => void) {
    this.#file = tools;
    this.#onWarning = onWarning;
  }

  /**
   * Takes the pool over: kills tools of daemons that are gone, and waits for those that write to the pool's
   * data.
   * @param server of this process's tools, where it has any that could outlive it
   * @throws ThinError busy
   */
  async begin(server?: Pick<ToolServer, 'onMark'>): Promise<void> {
    this.#earlier = this.#read();
    server?.onMark((mark) => {
      this.#own = mark;
      this.#write();
    });
    const left = await new EarlierTools(this.#earlier).end({
      patienceMs: PUNCHER_PATIENCE_MS,
      awaited: ({ name }) => name === PUNCHER,
    });
    refuse(left);
  }

  /**
   * Waits until no tool of a daemon that is gone lives. Some end only when their device is served again.
   * @param mustBeGone @throws ThinError busy, where one lives on; else it is logged
   */
  async settle({ mustBeGone }: { readonly mustBeGone: boolean }): Promise<void> {
    const left = await new EarlierTools(this.#earlier).end({
      patienceMs: PATIENCE_MS,
      areUnserved: mustBeGone,
      onWait: (tools) =>
        this.#onWarning(`waiting for what an earlier daemon was running: ${describeTools(tools)}`),
    });
    if (left.length === 0) {
      this.#earlier = [];
      if (this.#own !== undefined) this.#write();
    } else if (mustBeGone) refuse(left);
    else
      this.#onWarning(
        `${describeTools(left)} of an earlier daemon did not end within ${PATIENCE_MS / 1000} s; what it does may be missed`,
      );
  }

  /** The process ends in order, and none of its tools is at work. */
  end(): void {
    this.#own = undefined;
    rmSync(this.#file, { force: true });
  }

  #read(): readonly ToolMark[] {
    try {
      return marks.safeParse(JSON.parse(readFileSync(this.#file, 'utf8'))).data ?? [];
    } catch {
      return [];
    }
  }

  /**
   * Whole or not at all; with those of before, until they are gone: this process may be killed before that.
   */
  #write(): void {
    try {
      const all = [...(this.#own === undefined ? [] : [this.#own]), ...this.#earlier];
      writeFileSync(`${this.#file}.tmp`, JSON.stringify(all), { mode: 0o600 });
      renameSync(`${this.#file}.tmp`, this.#file);
    } catch (error) {
      this.#onWarning(
        `${this.#file} cannot be written, so that what this daemon runs could outlive it: ${String(error)}`,
      );
    }
  }
}

function refuse(left: readonly ToolProcess[]): void {
  if (left.length === 0) return;
  throw new ThinError(
    'busy',
    `an earlier daemon's ${describeTools(left)} is still at work and does not end; see what it waits for (dmesg), then start again`,
    { details: { pid: left[0]!.pid } },
  );
}
