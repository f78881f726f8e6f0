let usersUmask: number | undefined;

/**
 * From now on each file that this process makes is its owner's alone. LevelDB's threads make files at any
 * moment, with 0644, and the umask is the whole process's: it is set once, for good, and never read again
 * (reading it sets it twice, umask(2)). Tools get the one of before.
 */
export function makeFilesPrivate(): void {
  usersUmask ??= process.umask(0o077);
}

/** What `makeFilesPrivate` found; undefined: the process has its user's umask. */
export function umaskOfUser(): number | undefined {
  return usersUmask;
}
