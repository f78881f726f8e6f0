import assert from 'node:assert/strict';
import path from 'node:path';
import { BASE_NAME, parseDeviceName } from '../../src/format/device-name.js';
import { CLI_COMMAND } from '../support/cli.js';
import { startFakeDaemon, type FakeDaemon } from '../support/fake-daemon.js';
import { tryRun, useScratch, type Finished } from '../support/mounts.js';

const TOP = path.resolve(import.meta.dirname, '../..');
const DEVICES = 1500;
const PIPE_BYTES = 64 * 1024;

describe('command line: output', function () {
  this.timeout(120_000);
  const scratch = useScratch();
  let fake: FakeDaemon;

  before(async () => {
    fake = await startFakeDaemon(scratch.current.at('root'));
    const { pool } = fake;
    for (let number = 0; number < DEVICES; number++)
      await pool.createSnapshot({
        origin: BASE_NAME,
        name: parseDeviceName(`layer-${number}`),
        kind: 'image',
      });
  });
  after(() => fake.daemon.stop('the test is over'));

  /** A script in which `thinfuse` is the command line. */
  const shell = (script: string): Promise<Finished> =>
    tryRun(
      'bash',
      ['-c', `thinfuse=("$@"); thinfuse() { "\${thinfuse[@]}" "$@"; }; ${script}`, 'bash', ...CLI_COMMAND],
      {
        env: {
          ...process.env,
          THINFUSE_ROOT: scratch.current.at('root'),
          TSX_TSCONFIG_PATH: path.join(TOP, 'tsconfig.json'),
        },
      },
    );

  it('is whole for a reader that is slower than the command', async () => {
    const { code, stdout, stderr } = await shell('set -o pipefail; thinfuse --json ls | { sleep 1; cat; }');
    assert.deepEqual([code, stderr], [0, '']);
    assert.ok(stdout.length > 2 * PIPE_BYTES, String(stdout.length));
    assert.equal((JSON.parse(stdout) as unknown[]).length, DEVICES + 1);
  });

  it('ends by SIGPIPE, without a word, when its reader goes', async () => {
    const { stdout, stderr } = await shell(
      'thinfuse --json ls | head -c 10 >/dev/null; echo "${PIPESTATUS[0]}"',
    );
    assert.deepEqual([stdout, stderr], ['141\n', '']);
  });

  it('is a failure where it cannot be written', async () => {
    const { code, stderr } = await shell('thinfuse --json ls >/dev/full');
    assert.equal(code, 6);
    assert.match(stderr, /^\{"error":.*standard output.*full/);
    assert.doesNotMatch(stderr, /\n {4}at /);
  });

  it('changes nothing about the exit code where errors cannot be told', async () => {
    assert.equal((await shell('thinfuse ls --frobnicate 2>/dev/full')).code, 2);
    assert.equal(
      (await shell('thinfuse --json ls 2>/dev/full | cat >/dev/null; exit "${PIPESTATUS[0]}"')).code,
      0,
    );
  });
});
