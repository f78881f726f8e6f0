import { readdirSync, readFileSync } from 'node:fs';
import { systemErrorCode } from '../errors/thin-error.js';

/** A process as proc_pid_stat(5) has it. */
export interface ProcessState {
  /** 15 bytes at most. */
  readonly name: string;
  readonly parent: number;
  readonly session: number;
  /** In ticks since the boot: with the pid it names the process. */
  readonly startedAt: string;
}

/**
 * Undefined where there is no such process, or where all of its threads have ended and its parent has only to
 * notice. Its first thread may end before the others: until those are through the kernel keeps its files and
 * mounts in use.
 */
export function processState(pid: number): ProcessState | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // Fields count from behind the name, which may hold anything: the state is the third.
    const end = text.lastIndexOf(')');
    const fields = text.slice(end + 2).split(' ');
    const [state, parent, , session] = fields;
    if (end < 0 || state === 'X') return undefined;
    if (state === 'Z' && readdirSync(`/proc/${pid}/task`).length < 2) return undefined;
    return {
      name: text.slice(text.indexOf('(') + 1, end),
      parent: Number(parent),
      session: Number(session),
      startedAt: fields[19] ?? '',
    };
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
