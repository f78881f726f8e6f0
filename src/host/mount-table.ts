import { readFileSync } from 'node:fs';
import { parseMountTable, type MountRow } from '../format/mount-info.js';

const MOUNT_INFO = '/proc/self/mountinfo';
/** MAJ:MIN of a loop device, and its name: a btrfs has a MAJ:MIN of its own. */
const LOOP_NUMBER = /^(?:7:|\/dev\/loop)(\d+)$/;

/**
 * The mounts at the time of the read. Reads one file of /proc and touches no mount, so a dead mount cannot
 * block it.
 */
export class MountTable {
  readonly rows: readonly MountRow[];

  constructor(rows: readonly MountRow[]) {
    this.rows = rows;
  }

  static read(): Promise<MountTable> {
    // The kernel answers from memory: round trips through the thread pool would take longer than the calls.
    return Promise.resolve(new MountTable(parseMountTable(readFileSync(MOUNT_INFO, 'utf8'))));
  }

  /** The topmost mount on `target` (absolute, without symbolic links), if any. */
  on(target: string): MountRow | undefined {
    return this.rows.findLast((row) => row.target === target);
  }

  /** Mounts of the filesystem on a loop device, binds included, oldest first; `device` as /dev/loop3. */
  ofLoop(device: string): readonly MountRow[] {
    const number = /^\/dev\/loop(\d+)$/.exec(device)?.[1];
    return this.rows.filter(
      (row) => row.source === device || (number !== undefined && row.device === `7:${number}`),
    );
  }

  /** Loop devices whose filesystem is mounted, each with its mounts as `ofLoop` has them. */
  onLoops(): readonly (readonly [device: string, rows: readonly MountRow[]])[] {
    const found = new Map<string, MountRow[]>();
    for (const row of this.rows) {
      const number = (LOOP_NUMBER.exec(row.device) ?? LOOP_NUMBER.exec(row.source))?.[1];
      if (number === undefined) continue;
      const device = `/dev/loop${number}`;
      const rows = found.get(device);
      if (rows === undefined) found.set(device, [row]);
      else rows.push(row);
    }
    return [...found];
  }

  /** On `folder` itself or below it, oldest first. */
  below(folder: string): readonly MountRow[] {
    return this.rows.filter((row) => isBelow(row.target, folder));
  }
}

/** Whether `file` is `folder` or lies in it; both absolute. */
export function isBelow(file: string, folder: string): boolean {
  return file === folder || file.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}
