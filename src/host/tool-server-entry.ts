import { closeSync, constants, openSync } from 'node:fs';
import type { HostTool } from '../config/host-tools.js';
import { toThinError } from '../errors/thin-error.js';
import { ChildProcessExec, type ExecResult } from './exec.js';
import { performMountTask } from './mount-task.js';
import { mayBeCut } from './tool-processes.js';
import type { ToolReply, ToolRequest } from './tool-server.js';

const exec = new ChildProcessExec();
const running = new Map<number, { readonly tool: HostTool; readonly controller: AbortController }>();

/**
 * Filesystems frozen for the daemon by where they are mounted, each with its folder, open; and freezes and
 * thaws under way. When the daemon ends, no other process thaws them. By then the next daemon may have
 * unmounted them lazily, so that no path leads to them.
 */
const frozen = new Map<string, number>();
const changing = new Set<Promise<unknown>>();

/**
 * FITHAW (linux/fs.h) on standard input: a filesystem that was shut down because its device is gone refuses
 * every open, so fsfreeze(8), which takes a path, cannot thaw it. Perl is on every Debian, and knows ioctl.
 */
const THAW = 'ioctl(STDIN, 0xC0045878, 0) or die $!';

function reply(message: ToolReply): void {
  // The daemon may be gone before it has said so.
  if (process.connected) process.send?.(message, () => undefined);
}

async function serve(request: ToolRequest): Promise<void> {
  if ('abort' in request) {
    running.get(request.abort)?.controller.abort();
    return;
  }
  if ('task' in request) {
    const { id, task } = request;
    await answer(id, async () => ({ code: 0, stdout: await performMountTask(task), stderr: '' }));
    return;
  }
  const { id, tool, args, options } = request;
  const controller = new AbortController();
  running.set(id, { tool, controller });
  const run = (given: readonly string[]): Promise<ExecResult> =>
    exec.run(tool, given, { ...options, signal: controller.signal });
  await answer(id, () => (tool === 'fsfreeze' ? noted(args, run) : run(args)));
  running.delete(id);
}

async function answer(id: number, work: () => Promise<ExecResult>): Promise<void> {
  try {
    reply({ id, result: await work() });
  } catch (error) {
    const { code, message, details } = toThinError(error);
    reply({ id, failure: { code, message, details } });
  }
}

async function noted(
  args: readonly string[],
  run: (args: readonly string[]) => Promise<ExecResult>,
): Promise<ExecResult> {
  const [how = '', target = ''] = args;
  const change = how === '--freeze' ? freeze(args, target, run) : thaw(target, () => run(args));
  changing.add(change);
  try {
    return await change;
  } finally {
    changing.delete(change);
  }
}

async function freeze(
  args: readonly string[],
  target: string,
  run: (args: readonly string[]) => Promise<ExecResult>,
): Promise<ExecResult> {
  const folder = openSync(target, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    const result = await run(args);
    frozen.set(target, folder);
    return result;
  } catch (error) {
    closeSync(folder);
    throw error;
  }
}

async function thaw(target: string, run: () => Promise<ExecResult>): Promise<ExecResult> {
  const result = await run();
  const folder = frozen.get(target);
  if (folder !== undefined) closeSync(folder);
  frozen.delete(target);
  return result;
}

async function thawAll(): Promise<void> {
  await Promise.allSettled(changing);
  await Promise.allSettled([...frozen.values()].map((stdin) => exec.run('perl', ['-e', THAW], { stdin })));
}

process.on('message', (request) => void serve(request as ToolRequest));

/** No caller waits for these tools any more, and the next daemon would not know what they still change. */
function endTools(): void {
  for (const { tool, controller } of running.values()) if (mayBeCut(tool)) controller.abort();
}

process.once('disconnect', () => {
  endTools();
  void thawAll().then(() => process.exit());
});
