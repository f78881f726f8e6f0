import { readdirSync, readFileSync } from 'node:fs';

/**
 * Kills a child of this process that has not been waited for, and all below it. A shell or mount(8) that is
 * killed alone leaves the helper that it started at work. Each is stopped before its children are listed, so
 * that none starts another meanwhile. A kernel without CONFIG_PROC_CHILDREN (proc(5)) lists no children.
 */
export function killTree(pid: number): void {
  const tree = [pid];
  for (const one of tree) {
    signal(one, 'SIGSTOP');
    tree.push(...childrenOf(one));
  }
  for (const one of tree) signal(one, 'SIGKILL');
}

/** None where the kernel lists no children, or the process has ended. */
export function childrenOf(pid: number): readonly number[] {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .flatMap((thread) => readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1').split(' '))
      .filter((text) => text !== '')
      .map(Number);
  } catch {
    // It has ended.
    return [];
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended.
  }
}
