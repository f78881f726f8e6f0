import { readFileSync, readlinkSync } from 'node:fs';
import { ThinError } from '../errors/thin-error.js';

/** Of the first socket that a service manager passes (sd_listen_fds(3)). */
const FIRST_DESCRIPTOR = 3;

/** How this process was started, and what the kernel says of its sockets. */
export interface Activation {
  readonly env: NodeJS.ProcessEnv;
  readonly pid: number;
  /** The inode of the socket behind a descriptor; undefined: no socket. */
  readonly inodeOf: (descriptor: number) => string | undefined;
  /** The text of /proc/net/unix. */
  readonly table: () => string;
}

const THIS_PROCESS: Activation = {
  env: process.env,
  pid: process.pid,
  inodeOf: (descriptor) => /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/self/fd/${descriptor}`))?.[1],
  table: () => readFileSync('/proc/net/unix', 'utf8'),
};

/**
 * The listening unix sockets that a service manager passed to this process, by path. A client that connects
 * while no daemon serves waits in the socket's backlog.
 */
export class ActivatedSockets {
  readonly #left: Map<string, number>;

  /** Errors: invalid-argument: one of them is no unix socket with a path. */
  constructor({ env, pid, inodeOf, table }: Activation = THIS_PROCESS) {
    const isForUs = env['LISTEN_PID'] === `${pid}`;
    const count = isForUs ? Number(env['LISTEN_FDS'] ?? 0) : 0;
    const paths = count > 0 ? pathsByInode(table()) : new Map<string, string>();
    this.#left = new Map(
      Array.from({ length: count }, (_, at) => {
        const descriptor = FIRST_DESCRIPTOR + at;
        const inode = inodeOf(descriptor);
        const path = inode === undefined ? undefined : paths.get(inode);
        if (path === undefined)
          throw new ThinError(
            'invalid-argument',
            `descriptor ${descriptor}, which the service manager passed, is not a unix socket with a path; write ListenStream=/PATH into its unit`,
          );
        return [path, descriptor];
      }),
    );
  }

  /** The descriptor of the socket at `path`, once. Undefined: no such socket was handed over. */
  take(path: string): number | undefined {
    const descriptor = this.#left.get(path);
    this.#left.delete(path);
    return descriptor;
  }

  /** @throws ThinError invalid-argument: clients of an unused socket would wait for ever */
  requireAllTaken(): void {
    const [first] = this.#left.keys();
    if (first === undefined) return;
    throw new ThinError(
      'invalid-argument',
      `the service manager listens on ${first}, and no option of thinfuse start names that socket; add --snapshotter or --volume-plugin with its path, or remove the socket unit`,
    );
  }
}

/** Columns: Num RefCount Protocol Flags Type St Inode Path (proc_net_unix in net/unix/af_unix.c). */
function pathsByInode(table: string): Map<string, string> {
  const paths = new Map<string, string>();
  for (const line of table.split('\n').slice(1)) {
    const [, inode, path] = /^(?:\S+\s+){6}(\d+) (\/.*)$/.exec(line) ?? [];
    if (inode !== undefined && path !== undefined) paths.set(inode, path);
  }
  return paths;
}
