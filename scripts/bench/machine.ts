import { readFileSync } from 'node:fs';
import { cpus, loadavg, release, totalmem } from 'node:os';
import path from 'node:path';
import { version } from '../../src/config/version.js';
import { run } from './host.js';
import type { Machine } from './run.js';

const TOP = path.resolve(import.meta.dirname, '../..');

export async function describeMachine(folder: string): Promise<Machine> {
  const filesystem = await run('findmnt', ['--noheadings', '--output', 'FSTYPE,SOURCE', '--target', folder]);
  // Of mounts over each other, the last one listed is what is seen.
  const topmost = filesystem.trim().split('\n').at(-1) ?? '';
  const model = /^model name\s*:\s*(.+)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1];
  return {
    cpu: model ?? cpus()[0]?.model ?? 'unknown processor',
    cores: cpus().length,
    memoryBytes: totalmem(),
    kernel: release(),
    filesystem: topmost.trim().replace(/\s+/g, ' '),
    load: loadavg()[0] ?? 0,
  };
}

const TOOLS: readonly { readonly name: string; readonly ask: readonly string[] }[] = [
  { name: 'fio', ask: ['fio', '--version'] },
  { name: 'util-linux', ask: ['losetup', '--version'] },
  { name: 'xfsprogs', ask: ['mkfs.xfs', '-V'] },
  { name: 'qemu-storage-daemon', ask: ['qemu-storage-daemon', '--version'] },
  { name: 'nbdkit', ask: ['nbdkit', '--version'] },
  { name: 'nbdfuse', ask: ['nbdfuse', '--version'] },
];

export async function toolVersions(): Promise<Record<string, string>> {
  const commit = await run('git', ['-C', TOP, 'rev-parse', '--short', 'HEAD']).catch(() => '');
  const versions: Record<string, string> = {
    thinfuse: `${version()}${commit.trim() === '' ? '' : ` (${commit.trim()})`}`,
    node: process.versions.node,
  };
  for (const { name, ask } of TOOLS) {
    const [command = '', ...args] = ask;
    versions[name] = await run(command, args).then(versionIn, () => 'missing');
  }
  return versions;
}

function versionIn(output: string): string {
  return /\d+(?:\.\d+)+/.exec(output)?.[0] ?? 'unknown';
}
