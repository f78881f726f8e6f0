import { readdir, readFile } from 'node:fs/promises';
import { until } from '../async/until.js';
import { processState } from './process-state.js';
import { failXfsOfMount } from './xfs-retries.js';

/** In the environment of every tool that a daemon runs: which daemon's it is. */
export const TOOLS_OF = 'THINFUSE_TOOLS_OF';

/**
 * How the tools of one daemon are known after it: the sessions they are in, and what stands in their
 * environment.
 */
export interface ToolMark {
  readonly token: string;
  readonly sessions: readonly number[];
}

export interface ToolProcess {
  readonly pid: number;
  /** As /proc has it: 15 bytes at most. */
  readonly name: string;
}

const POLL_MS = 20;

/**
 * Cut off, they leave a filesystem half changed or frozen; each ends by itself. `node` is the process that
 * ran the others, and thaws.
 */
const LEFT_TO_END = new Set(['resize2fs', 'tune2fs', 'fsfreeze', 'perl', 'node']);

/**
 * Whether a tool of a dead daemon may be killed: no caller waits for it, and the next daemon undoes what it
 * began.
 */
export function mayBeCut(tool: string): boolean {
  return !LEFT_TO_END.has(tool);
}

/**
 * Tools of daemons that are gone. While they live, what they began takes effect, also after another process
 * has read the mount table.
 */
export class EarlierTools {
  readonly #marks: readonly ToolMark[];

  constructor(marks: readonly ToolMark[]) {
    this.#marks = marks;
  }

  /** Those that live. */
  async find(): Promise<readonly ToolProcess[]> {
    const found: ToolProcess[] = [];
    if (this.#marks.length === 0) return found;
    for (const entry of await readdir('/proc')) {
      const pid = Number(entry);
      if (!Number.isInteger(pid) || pid === process.pid) continue;
      const seen = processState(pid);
      if (seen !== undefined && (await this.#isOurs(pid, seen.session))) found.push({ pid, name: seen.name });
    }
    return found;
  }

  /**
   * Kills those that may be, and waits until none of `awaited` lives, or `patienceMs` are over.
   * @param onWait told once of those that are waited for
   * @param areUnserved their devices answer with errors for good: the mount of an xfs, which would try its
   *   writes again for ever, is let fail
   * @returns those that still live
   */
  async end({
    patienceMs,
    awaited = () => true,
    onWait,
    areUnserved = false,
  }: {
    readonly patienceMs: number;
    readonly awaited?: (tool: ToolProcess) => boolean;
    readonly onWait?: (tools: readonly ToolProcess[]) => void;
    readonly areUnserved?: boolean;
  }): Promise<readonly ToolProcess[]> {
    let left: readonly ToolProcess[] = [];
    let isTold = false;
    const isOver = async (): Promise<boolean> => {
      const living = await this.find();
      for (const { pid, name } of living) if (mayBeCut(name)) kill(pid);
      left = living.filter(awaited);
      if (left.length === 0) return true;
      if (!isTold) onWait?.(left);
      isTold = true;
      if (areUnserved) for (const { pid, name } of left) if (name === 'mount') await failXfsOfMount(pid);
      return false;
    };
    await until(isOver, { limitMs: patienceMs, pollMs: POLL_MS });
    return left;
  }

  /** The session comes first: the environment of a process that hangs in the kernel may be unreadable. */
  async #isOurs(pid: number, session: number): Promise<boolean> {
    const marks = this.#marks.filter(({ sessions }) => sessions.includes(session));
    if (marks.length === 0) return false;
    const environment = await readFile(`/proc/${pid}/environ`, 'latin1').catch(() => '');
    const variables = environment.split('\0');
    return marks.some(({ token }) => variables.includes(`${TOOLS_OF}=${token}`));
  }
}

/** For messages. */
export function describeTools(tools: readonly ToolProcess[]): string {
  return tools.map(({ pid, name }) => `${name} (pid ${pid})`).join(', ');
}

/** Of this process. */
export function ownSession(): number | undefined {
  return processState(process.pid)?.session;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
