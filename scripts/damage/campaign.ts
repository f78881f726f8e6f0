import { fork, type ChildProcess } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import path from 'node:path';
import type { Case } from './injury.js';
import type { Subject, Verdict } from './judge.js';

/** How a case ended: with a verdict, with an error that is none of ours, or with the end of its process. */
export type Outcome =
  { readonly verdict: Verdict } | { readonly failure: string } | { readonly died: string };

/** Processes that judge, each a case at a time; one that dies is followed by another. */
export class Judges {
  readonly #scratch: string;
  readonly #subject: Subject;
  readonly #children = new Set<ChildProcess>();
  #made = 0;

  constructor(scratch: string, subject: Subject) {
    this.#scratch = scratch;
    this.#subject = subject;
  }

  /** @param onOutcome told of each, in the order in which they end */
  async run(
    cases: readonly Case[],
    processes: number,
    onOutcome: (one: Case, outcome: Outcome) => void,
  ): Promise<void> {
    const left = [...cases].reverse();
    const lane = async (): Promise<void> => {
      let judge: Judge | undefined;
      for (let one = left.pop(); one !== undefined; one = left.pop()) {
        judge ??= this.#start();
        const outcome = await judge.judge(one);
        if ('died' in outcome) judge = undefined;
        onOutcome(one, outcome);
      }
      judge?.end();
    };
    await Promise.all(Array.from({ length: processes }, lane));
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
  }

  #start(): Judge {
    const scratch = path.join(this.#scratch, `judge${this.#made++}`);
    mkdirSync(scratch);
    const child = fork(new URL('worker.ts', import.meta.url), { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    this.#children.add(child);
    child.once('exit', () => {
      this.#children.delete(child);
      rmSync(scratch, { recursive: true, force: true });
    });
    child.send({ subject: this.#subject, scratch });
    return new Judge(child);
  }
}

class Judge {
  readonly #child: ChildProcess;
  #said = '';

  constructor(child: ChildProcess) {
    this.#child = child;
    child.stderr?.on('data', (piece: Buffer) => {
      this.#said = (this.#said + piece.toString()).slice(-2000);
    });
  }

  judge(one: Case): Promise<Outcome> {
    return new Promise((resolve) => {
      const onMessage = (outcome: Outcome): void => {
        this.#child.off('exit', onExit);
        resolve(outcome);
      };
      const onExit = (code: number | null, signal: string | null): void => {
        this.#child.off('message', onMessage);
        resolve({ died: `${signal ?? `exit code ${code}`}: ${this.#said.trim()}` });
      };
      this.#child.once('message', onMessage);
      this.#child.once('exit', onExit);
      this.#child.send({ one });
    });
  }

  end(): void {
    this.#child.kill();
  }
}

/** What is wrong with how thinfuse met a case; undefined: nothing. */
export function problemOf(outcome: Outcome): string | undefined {
  if ('died' in outcome) return `its process died: ${outcome.died}`;
  if ('failure' in outcome) return outcome.failure;
  const { what, found, repaired, note } = outcome.verdict;
  return found === 'silent' || repaired === 'wrong'
    ? `${found}, repaired: ${repaired}: ${what}: ${note}`
    : undefined;
}

export class Tally {
  readonly #counts = new Map<string, number>();
  #cases = 0;
  #same = 0;
  #all = 0;

  add(outcome: Outcome): void {
    this.#cases++;
    if (!('verdict' in outcome)) {
      this.#count('died' in outcome ? 'died' : 'failed');
      return;
    }
    const { found, repaired, pages } = outcome.verdict;
    this.#count(found === 'none' ? 'nothing changed' : found);
    if (found !== 'none') this.#count(`repaired: ${repaired}`);
    this.#same += pages[0];
    this.#all += pages[1];
  }

  text(): string {
    const told = [...this.#counts].sort().map(([what, count]) => `${what} ${count}`);
    const share = this.#all === 0 ? 0 : (100 * this.#same) / this.#all;
    return `${this.#cases} cases: ${told.join(', ')}; ${share.toFixed(1)} % of all pages came back`;
  }

  #count(what: string): void {
    this.#counts.set(what, (this.#counts.get(what) ?? 0) + 1);
  }
}
