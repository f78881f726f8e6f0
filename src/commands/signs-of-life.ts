import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { SocketClient } from '../api/client.js';
import { note } from './output.js';

/** Milliseconds between two looks at a daemon, and those within which a daemon that runs answers. */
const LOOK_MS = 5000;
const PATIENCE_MS = 3000;

/** A daemon by its control socket. `pid`: what tells its process, for people. */
export interface WatchedDaemon {
  readonly socket: string;
  readonly pid: () => Promise<number | undefined>;
}

/**
 * While `work` needs a daemon, says on standard error that it gives no sign of life, and when it does again.
 * Work that takes long is no such case: the daemon answers others meanwhile. Neither ends nor delays `work`.
 */
export async function withSignsOfLife<T>(daemon: WatchedDaemon, work: () => Promise<T>): Promise<T> {
  const watch = new Watch(daemon);
  void watch.run();
  try {
    return await work();
  } finally {
    await watch.end();
  }
}

class Watch {
  readonly #daemon: WatchedDaemon;
  readonly #over = new AbortController();
  /** What the daemon makes of a question that it has left unanswered for too long. */
  #awaited: Promise<'answers' | 'refuses'> | undefined;

  constructor(daemon: WatchedDaemon) {
    this.#daemon = daemon;
  }

  /** Until `end`. */
  async run(): Promise<void> {
    while (await this.#passed(LOOK_MS)) {
      const sign = new SocketClient(this.#daemon.socket).call('status', {}).then(
        () => 'answers' as const,
        // The work fails with the same error.
        () => 'refuses' as const,
      );
      if ((await Promise.race([sign, this.#passed(PATIENCE_MS)])) !== true) continue;
      const words = await silence(this.#daemon);
      if (this.#over.signal.aborted) return;
      this.#awaited = sign;
      note(`${words}; this command waits for it`);
      await sign;
      await this.#tellWhetherAgain();
    }
  }

  /** What the daemon answered the work, it answers here at that moment. */
  async end(): Promise<void> {
    this.#over.abort();
    await this.#tellWhetherAgain();
  }

  async #tellWhetherAgain(): Promise<void> {
    const sign = this.#awaited;
    if (sign === undefined) return;
    this.#awaited = undefined;
    if ((await Promise.race([sign, sleep(PATIENCE_MS)])) === 'answers') note('the daemon answers again');
  }

  /** Whether this goes on after so many milliseconds. Keeps no process from its end. */
  #passed(ms: number): Promise<boolean> {
    return sleep(ms, true, { signal: this.#over.signal, ref: false }).catch(() => false);
  }
}

async function silence({ pid: find }: WatchedDaemon): Promise<string> {
  const pid = await find();
  if (pid === undefined) return 'the daemon does not answer';
  const who = `the daemon (pid ${pid}) does not answer`;
  return (await isStopped(pid)) ? `${who}: it was stopped, and goes on with: kill -CONT ${pid}` : who;
}

/** By a signal, or by a debugger: proc_pid_stat(5). */
async function isStopped(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return /^ [Tt] /.test(text.slice(text.lastIndexOf(')') + 1));
}
