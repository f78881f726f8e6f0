/**
 * What `doctor --host` found of one thing. `unknown`: it cannot be told from here, because this process is
 * not root or the host hides it. thinfuse works where nothing `required` is `missing`.
 */
export interface HostFinding {
  readonly area: 'tool' | 'node' | 'device' | 'kernel' | 'space' | 'containerd';
  readonly subject: string;
  readonly need: 'required' | 'optional' | 'advised';
  readonly state: 'ok' | 'missing' | 'unknown';
  /** What there is, or what is wrong and what to do about it. */
  readonly message: string;
  readonly version?: string | undefined;
}
