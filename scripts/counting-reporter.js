import { writeFileSync } from 'node:fs';
import Mocha from 'mocha';

/**
 * Mocha's spec reporter, which also leaves its counts, as JSON, in the file that THINFUSE_TEST_COUNTS names.
 */
export default class CountingReporter extends Mocha.reporters.Spec {
  epilogue() {
    super.epilogue();
    const { passes, failures, pending } = this.stats;
    const file = process.env['THINFUSE_TEST_COUNTS'];
    if (file) writeFileSync(file, JSON.stringify({ passes, failures, pending }));
  }
}
