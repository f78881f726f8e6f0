/**
 * The process that makes something incomplete, distinguished from a later process with the same number.
 *
 *   maker := PID "-" START "-" BOOT      start time in clock ticks since boot, and the boot's id
 */
const MAKER = /^(\d+)-(\d+)-([0-9a-f-]+)$/;

export function makerText(pid: number, start: string, boot: string): string {
  return `${pid}-${start}-${boot}`;
}

/** The process's number; undefined where the text names none. */
export function pidOf(maker: string): number | undefined {
  const pid = MAKER.exec(maker)?.[1];
  return pid === undefined ? undefined : Number(pid);
}
