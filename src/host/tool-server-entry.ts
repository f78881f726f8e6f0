import { toThinError } from '../errors/thin-error.js';
import { ChildProcessExec } from './exec.js';
import { performMountTask, type MountTask } from './mount-task.js';
import type { ToolReply, ToolRequest } from './tool-server.js';

const exec = new ChildProcessExec();
const running = new Map<number, AbortController>();

/** Filesystems frozen for the daemon, and freezes and thaws under way. Whatever ends the daemon, nobody else would thaw them. */
const frozen = new Set<string>();
const changing = new Set<Promise<unknown>>();

function reply(message: ToolReply): void {
  // The daemon may be gone before it has said so.
  if (process.connected) process.send?.(message, () => undefined);
}

async function serve(request: ToolRequest): Promise<void> {
  if ('abort' in request) {
    running.get(request.abort)?.abort();
    return;
  }
  if ('task' in request) {
    await perform(request.id, request.task);
    return;
  }
  const { id, tool, args, options } = request;
  const controller = new AbortController();
  running.set(id, controller);
  try {
    const running = exec.run(tool, args, { ...options, signal: controller.signal });
    reply({ id, result: await (tool === 'fsfreeze' ? noted(args, running) : running) });
  } catch (error) {
    const { code, message, details } = toThinError(error);
    reply({ id, failure: { code, message, details } });
  } finally {
    running.delete(id);
  }
}

async function perform(id: number, task: MountTask): Promise<void> {
  try {
    reply({ id, result: { code: 0, stdout: await performMountTask(task), stderr: '' } });
  } catch (error) {
    const { code, message, details } = toThinError(error);
    reply({ id, failure: { code, message, details } });
  }
}

async function noted<T>([how = '', target = '']: readonly string[], running: Promise<T>): Promise<T> {
  const change = running.then((result) => {
    if (how === '--freeze') frozen.add(target);
    else frozen.delete(target);
    return result;
  });
  changing.add(change);
  try {
    return await change;
  } finally {
    changing.delete(change);
  }
}

async function thawAll(): Promise<void> {
  await Promise.allSettled(changing);
  await Promise.allSettled([...frozen].map((target) => exec.run('fsfreeze', ['--unfreeze', target])));
}

process.on('message', (request) => void serve(request as ToolRequest));
// Tools that are under way outlive the daemon, as they do where it runs them itself.
process.once('disconnect', () => void thawAll().then(() => process.exit()));
