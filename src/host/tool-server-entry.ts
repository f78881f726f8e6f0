import { toThinError } from '../errors/thin-error.js';
import { ChildProcessExec } from './exec.js';
import type { ToolReply, ToolRequest } from './tool-server.js';

const exec = new ChildProcessExec();
const running = new Map<number, AbortController>();

function reply(message: ToolReply): void {
  if (process.connected) process.send?.(message);
}

async function serve(request: ToolRequest): Promise<void> {
  if ('abort' in request) {
    running.get(request.abort)?.abort();
    return;
  }
  const { id, tool, args, options } = request;
  const controller = new AbortController();
  running.set(id, controller);
  try {
    reply({ id, result: await exec.run(tool, args, { ...options, signal: controller.signal }) });
  } catch (error) {
    const { code, message, details } = toThinError(error);
    reply({ id, failure: { code, message, details } });
  } finally {
    running.delete(id);
  }
}

process.on('message', (request) => void serve(request as ToolRequest));
// Tools that are under way outlive the daemon, as they do where it runs them itself.
process.once('disconnect', () => process.exit());
