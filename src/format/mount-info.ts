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
 * The kernel and getfattr write a byte that would break a line as three octal digits. Such bytes are ASCII
 * (white space, backslash, #), so a character stands for a byte here.
 */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
