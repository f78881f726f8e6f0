import { readFile } from 'node:fs/promises';
import type { HostTool } from '../config/host-tools.js';
import { missingTool } from '../config/missing-tool.js';
import { ThinError } from '../errors/thin-error.js';
import type { Exec, ExecOptions, ExecResult } from './exec.js';

/** What taskset(1) answers where there is no such tool. */
const NOT_THERE = 127;

/**
 * Runs a tool on one processor: ext4 takes places for small files from a list of the processor that writes
 * them, so that a tool that is moved from one to another makes another filesystem each time. Errors: as
 * `Exec.run`.
 */
export async function runOnOneCpu(
  exec: Exec,
  tool: HostTool,
  args: readonly string[],
  options?: ExecOptions,
): Promise<ExecResult> {
  const status = await readFile('/proc/self/status', 'utf8');
  const cpu = /^Cpus_allowed_list:\s*(\d+)/m.exec(status)?.[1] ?? '0';
  try {
    return await exec.run('taskset', ['--cpu-list', cpu, tool, ...args], options);
  } catch (error) {
    const isMissing = error instanceof ThinError && error.details['exit'] === NOT_THERE;
    throw isMissing ? missingTool(tool, error) : error;
  }
}
