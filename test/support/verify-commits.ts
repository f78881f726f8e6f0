// Each commit of a test, and of what a test starts, is checked as a whole.
const given = (process.env['THINFUSE_VERIFY'] ??= '1');

export const mochaHooks = {
  /** The tests of crashes check the pool at each state that they make; there are thousands of them. */
  beforeEach(this: Mocha.Context) {
    process.env['THINFUSE_VERIFY'] = this.currentTest?.file?.includes('/test/crash/') === true ? '0' : given;
  },
};
