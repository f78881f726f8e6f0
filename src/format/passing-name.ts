/** Devices that a command makes for itself, and that end with it. */
const PASSING = /^thinfuse-passing-(\d+)-\d+$/;

/** The name of the `count`th such device of the process. */
export function passingNameOf(pid: number, count: number): string {
  return `thinfuse-passing-${pid}-${count}`;
}

/** Whose it is; undefined for every other name. */
export function passingPid(name: string): number | undefined {
  const pid = PASSING.exec(name)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

export function isPassing(name: string): boolean {
  return passingPid(name) !== undefined;
}
