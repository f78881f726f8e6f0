import { writeFileSync } from 'node:fs';
import path from 'node:path';
import Mocha from 'mocha';

const SHOWN = 25;

/**
 * Mocha's spec reporter, which also tells which files took the longest, and leaves its counts, as JSON, in
 * the file that THINFUSE_TEST_COUNTS names.
 */
export default class CountingReporter extends Mocha.reporters.Spec {
  /** Milliseconds of each file's tests and hooks. */
  #times = new Map();

  constructor(runner, options) {
    super(runner, options);
    for (const event of ['test end', 'hook end'])
      runner.on(event, ({ file, duration }) => {
        this.#times.set(file, (this.#times.get(file) ?? 0) + (duration ?? 0));
      });
  }

  epilogue() {
    super.epilogue();
    const longest = [...this.#times].sort(([, one], [, other]) => other - one).slice(0, SHOWN);
    const lines = longest.map(
      ([file, ms]) => `${`${Math.round(ms / 1000)}`.padStart(5)} s  ${path.relative('.', file ?? '')}`,
    );
    process.stdout.write(`  the files that took longest:\n${lines.join('\n')}\n`);
    const { passes, failures, pending } = this.stats;
    const file = process.env['THINFUSE_TEST_COUNTS'];
    if (file) writeFileSync(file, JSON.stringify({ passes, failures, pending }));
  }
}
