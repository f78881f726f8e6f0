/**
 * What `doctor` can say. A `note` explains what is as it should be but may puzzle; a `problem` is to be
 * mended, by `--fix` where it is `mendable`, else as its message says.
 */
export interface DoctorFinding {
  readonly severity: 'note' | 'problem';
  readonly kind:
    | 'dead-mount'
    | 'stale-mount'
    | 'stale-loop'
    | 'lost-mount'
    | 'foreign-loop'
    | 'leaving-device'
    | 'deleted-device'
    | 'unfinished-device'
    | 'leftover-folder'
    | 'hidden-files'
    | 'stale-file'
    | 'projection'
    | 'pool-mode'
    | 'needs-check';
  /** A path, or a device's name. */
  readonly subject: string;
  /** What it is, how it comes about, what to do: a sentence or two. */
  readonly message: string;
  readonly mendable: boolean;
}

export interface DoctorReport {
  readonly findings: readonly (DoctorFinding & { readonly mended: boolean })[];
  /** Problems that are still there. */
  readonly left: number;
}
