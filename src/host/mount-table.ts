import { readFileSync } from 'node:fs';

const MOUNT_INFO = '/proc/self/mountinfo';
/** MAJ:MIN of a loop device, and its name: a btrfs has a MAJ:MIN of its own. */
const LOOP_NUMBER = /^(?:7:|\/dev\/loop)(\d+)$/;

/** One row of /proc/PID/mountinfo (proc_pid_mountinfo(5)). */
export interface MountRow {
  readonly id: number;
  readonly parentId: number;
  /** MAJ:MIN of the filesystem, as stat's st_dev; a filesystem on /dev/loop3 has 7:3. */
  readonly device: string;
  /** What of the filesystem is mounted; `/` but for bind mounts. */
  readonly root: string;
  readonly target: string;
  /** Of the mount, comma-separated (`rw,relatime`). */
  readonly options: string;
  readonly type: string;
  readonly source: string;
  /** Of the filesystem, comma-separated (`rw,attr2`). */
  readonly superOptions: string;
}

/**
 * In the kernel's order: a later row for the same target hides an earlier one. Rows that are none are
 * skipped.
 */
export function parseMountTable(text: string): readonly MountRow[] {
  const rows: MountRow[] = [];
  for (const line of text.split('\n')) {
    // Optional fields end with a lone dash; a dash inside a path is never a field of its own, since white
    // space is escaped.
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    const [id, parentId, device, root, target, options] = fields;
    const [type, source, superOptions] = dash < 0 ? [] : fields.slice(dash + 1);
    if (device === undefined || root === undefined || target === undefined || type === undefined) continue;
    rows.push({
      id: Number(id),
      parentId: Number(parentId),
      device,
      root: unescapeOctal(root),
      target: unescapeOctal(target),
      options: options ?? '',
      type,
      source: unescapeOctal(source ?? ''),
      superOptions: superOptions ?? '',
    });
  }
  return rows;
}

/**
 * Bytes that mountinfo escapes are ASCII (white space, backslash, #), so a character stands for a byte here.
 */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

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
