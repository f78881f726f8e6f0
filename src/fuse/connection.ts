/** What the kernel knows of a connection, handed from one serving process to the next. */
export interface ConnectionState {
  /** Bytes of the largest request, as agreed when the filesystem was mounted. */
  readonly maxIo: number;
  readonly nodes: readonly { readonly id: number; readonly name: string }[];
  readonly open: readonly {
    readonly handle: number;
    readonly node: number;
    readonly name: string;
    /** Of the request that it was given out for, in decimal. */
    readonly unique: string;
    /** See `OpenFile`; left out by daemons that did not know it. */
    readonly durable?: boolean | undefined;
    readonly forWriting?: boolean | undefined;
  }[];
}

/** What the kernel knows from now on of a node, by its id, or of a handle; null: it is gone. */
export type ConnectionChange =
  | readonly ['node', id: number, name: string | null]
  | readonly ['open', handle: number, open: Omit<ConnectionState['open'][number], 'handle'> | null];

/** An open /dev/fuse that another process keeps open too, so that the mount outlives this one. */
export interface KeptConnection {
  readonly fd: number;
  /**
   * The filesystem is mounted, and an earlier process left it like this; undefined: it is not mounted yet.
   */
  readonly state: ConnectionState | undefined;
  /** Resolves when the other process has closed it. */
  release(): Promise<void>;
}
