import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import type { HostTool } from '../../src/config/host-tools.js';
import { ThinError } from '../../src/errors/thin-error.js';
import { ChildProcessExec, commandLine, saidBy, type Exec, type ExecOptions } from '../../src/host/exec.js';
import { ToolServer } from '../../src/host/tool-server.js';
import { eventually } from '../support/eventually.js';
import { isAlive as isStillAlive } from '../support/held-tool.js';
import { useScratch } from '../support/mounts.js';

let exec: Exec = new ChildProcessExec();
const sh = (script: string, options?: ExecOptions): ReturnType<Exec['run']> =>
  exec.run('sh', ['-c', script], options);

async function failure(running: Promise<unknown>): Promise<ThinError> {
  const error = await running.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  assert(error instanceof ThinError, `expected a ThinError, got ${error}`);
  return error;
}

/** What holds for every way to run a tool. */
function execCompliance(): void {
  const scratch = useScratch();

  it('says that a tool is missing', async () => {
    const error = await failure(exec.run('umoci', [], { env: { PATH: '/nowhere' } }));
    assert.equal(error.code, 'missing-tool');
    assert.match(error.message, /^umoci was not found; install it: .+ umoci$/);
  });

  it('names the package of a missing tool that was to work in a folder, and the folder where that is missing', async () => {
    const env = { PATH: '/nowhere' };
    const error = await failure(exec.run('getfattr', [], { cwd: '/', env }));
    assert.equal(error.code, 'missing-tool');
    assert.match(error.message, /^getfattr was not found; install it: .+ attr$/);
    const nowhere = await failure(exec.run('getfattr', [], { cwd: '/nowhere', env }));
    assert.equal(nowhere.code, 'not-found');
    assert.match(nowhere.message, /\/nowhere is not there/);
  });

  it('runs nothing that is not in the table of host tools', async () => {
    const run = async (): Promise<unknown> => exec.run('thinfuse-no-such-tool' as HostTool, []);
    await assert.rejects(run, assert.AssertionError);
  });

  it('captures both outputs', async () => {
    assert.deepEqual(await sh('echo out; echo err >&2'), { code: 0, stdout: 'out\n', stderr: 'err\n' });
  });

  it('feeds input, and none by default', async () => {
    assert.equal((await exec.run('sh', ['-c', 'cat'], { input: 'a\0b' })).stdout, 'a\0b');
    assert.equal((await exec.run('sh', ['-c', 'cat'])).stdout, '');
  });

  it('survives a tool that does not read its input', async () => {
    await exec.run('sh', ['-c', 'true'], { input: Buffer.alloc(1 << 20) });
  });

  it('names the command line, the exit code and the last words of a tool that fails', async () => {
    const error = await failure(sh('for i in 1 2 3 4 5 6 7 8; do echo line $i >&2; done; exit 3'));
    assert.equal(error.code, 'tool-failed');
    assert.equal(error.details['exit'], 3);
    assert.match(error.message, /^sh -c '.*' failed with exit code 3: line 3; .*line 8$/);
    assert(saidBy(error, /line 8/));
    assert(!saidBy(error, /line 1$/m));
  });

  it('takes the exit codes that are an answer', async () => {
    assert.equal((await sh('exit 2', { okCodes: [0, 2] })).code, 2);
  });

  it('names the signal', async () => {
    const error = await failure(sh('kill -TERM $$'));
    assert.equal(error.details['signal'], 'SIGTERM');
  });

  it('ends a tool at its time limit', async () => {
    const error = await failure(exec.run('sh', ['-c', 'exec sleep 600'], { timeoutMs: 50 }));
    assert.equal(error.code, 'timeout');
    assert.match(error.message, /sleep 600/);
  });

  it('ends a tool that does nothing for so long, and no other', async () => {
    const error = await failure(sh('sleep 100', { stallMs: 500 }));
    assert.equal(error.code, 'timeout');
    assert.match(error.message, /has done nothing for 0\.5 s and was killed/);
    // Longer than it may stand still, and at work throughout.
    await sh('i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done', { stallMs: 2_000 });
    await sh('for i in 1 2 3 4 5 6; do sleep 0.4; echo > /dev/null; done', { stallMs: 2_000 });
  });

  it('ends with a tool what it started', async () => {
    const below = scratch.current.at('below');
    const stop = new AbortController();
    const script = `sh -c 'echo $$ > ${below}; sleep 600; true' & sleep 600; true`;
    const running = failure(exec.run('sh', ['-c', script], { signal: stop.signal }));
    let pid = 0;
    await eventually('the shell below is at work', async () => {
      pid = Number(await readFile(below, 'utf8').catch(() => ''));
      return pid !== 0;
    });
    stop.abort();
    assert.equal((await running).code, 'closed');
    await eventually('what the tool started is gone', async () => !(await isStillAlive(pid)));
  });

  it('ends a tool when it is cancelled, before and while it runs', async () => {
    const stop = new AbortController();
    const running = failure(exec.run('sh', ['-c', 'exec sleep 600'], { signal: stop.signal }));
    stop.abort();
    assert.equal((await running).code, 'closed');
    assert.equal(
      (await failure(exec.run('sh', ['-c', 'exec sleep 600'], { signal: stop.signal }))).code,
      'closed',
    );
  });

  it('passes lines of standard error on as they come', async () => {
    const lines: string[] = [];
    await sh('printf "a\\nb" >&2', { onStderrLine: (line) => lines.push(line) });
    assert.deepEqual(lines, ['a', 'b']);
  });

  it('speaks C, so that messages can be read', async () => {
    assert.equal((await sh('echo $LC_ALL')).stdout, 'C\n');
  });
}

describe('ChildProcessExec', () => {
  before(() => {
    exec = new ChildProcessExec();
  });

  execCompliance();

  it('names the package of a missing tool', async () => {
    const bare = new ChildProcessExec({ PATH: '/nowhere' });
    // Folders of the administrator are always looked at, so the tool must be one that lives elsewhere.
    const error = await failure(bare.run('umoci', ['--version']));
    assert.equal(error.code, 'missing-tool');
    assert.match(error.message, /umoci .*apt-get install umoci/);
  });
});

describe('ToolServer', () => {
  const scratch = useScratch();
  let server: ToolServer;

  before(() => {
    exec = server = ToolServer.start();
  });

  after(() => {
    server.close();
  });

  execCompliance();

  it('runs tools from a process of its own, several at a time', async () => {
    const parent = async (): Promise<string> => (await sh('sleep 0.05; echo $PPID')).stdout.trim();
    const parents = await Promise.all([parent(), parent(), parent()]);
    assert.deepEqual(parents, Array(3).fill(String(server.pid)));
  });

  it('fails what was under way when its process dies, and runs tools from another from then on', async () => {
    const dying = ToolServer.start();
    const marks: string[] = [];
    dying.onMark(({ sessions }) => marks.push(sessions.join()));
    const { pid } = dying;
    assert(pid !== undefined);
    const running = failure(dying.run('sh', ['-c', 'sleep 1']));
    process.kill(pid, 'SIGKILL');
    assert.equal((await running).code, 'tool-failed');
    const { stdout } = await dying.run('sh', ['-c', 'echo $PPID']);
    assert.equal(stdout.trim(), String(dying.pid));
    assert.notEqual(dying.pid, pid);
    assert.equal(marks.length, 2);
    dying.close();
    assert.equal((await dying.run('sh', ['-c', 'echo $PPID'])).stdout.trim(), String(process.pid));
  });

  it('leaves nothing at work of what it says has failed', async () => {
    const dying = ToolServer.start();
    const shell = scratch.current.at('shell');
    const running = failure(dying.run('sh', ['-c', `echo $$ > ${shell}; sleep 100; true`]));
    let text = '';
    while (text === '') text = await readFile(shell, 'utf8').catch(() => '');
    process.kill(dying.pid!, 'SIGKILL');
    assert.equal((await running).code, 'tool-failed');
    assert(!(await isStillAlive(Number(text))));
    dying.close();
  });

  it('ends when it is let go', async () => {
    const leaving = ToolServer.start();
    await leaving.run('sh', ['-c', 'true']);
    const { pid } = leaving;
    assert(pid !== undefined);
    leaving.close();
    await eventually('it has ended', () => !isAlive(pid));
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('commandLine', () => {
  it('quotes what a shell would split', () => {
    assert.equal(commandLine('mount', ['-o', 'ro,nouuid', "it's", '']), `mount -o ro,nouuid 'it'\\''s' ''`);
  });
});
