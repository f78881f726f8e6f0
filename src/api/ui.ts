/**
 * What the page (`page/`) is told, in JSON. Sizes in bytes, times in Unix milliseconds. Types only: a
 * browser's program has no Node.js.
 */
export interface UiState {
  readonly root: string;
  readonly version: string;
  readonly pool: {
    readonly name: string;
    readonly kind: string;
    readonly mode: string;
    readonly needsCheck: boolean;
    readonly dataUsed: number;
    readonly dataTotal: number;
    /** Percent of use from which the pool grows; 100: it does not. */
    readonly autoextendThreshold: number;
    /** Percent that have to be free for a new device. */
    readonly minFreePercent: number;
  };
  readonly figures: {
    readonly host: { readonly free: number; readonly total: number; readonly floor: number } | undefined;
    readonly pendingBytes: number;
  };
  readonly devices: readonly UiDevice[];
}

export interface UiDevice {
  readonly name: string;
  readonly id: number;
  readonly kind: 'base' | 'image' | 'container' | 'snapshot';
  readonly origin?: number | undefined;
  readonly originName?: string | undefined;
  readonly size: number;
  readonly mapped: number;
  readonly exclusive: number;
  readonly shared: number;
  readonly quota?: number | undefined;
  readonly createdAt: number;
  readonly filesystem: string;
  readonly deleted: boolean;
  readonly path?: string | undefined;
  readonly loop?: string | undefined;
  readonly mountPoint?: string | undefined;
  readonly traffic?: { readonly readBytes: number; readonly writtenBytes: number } | undefined;
}

export interface UiHistory {
  /** Milliseconds between two samples. */
  readonly interval: number;
  /** Of the last 24 hours, ascending. */
  readonly samples: readonly UiSample[];
}

export interface UiSample {
  readonly time: number;
  readonly used: number;
  readonly total: number;
  readonly hostFree?: number | undefined;
  /** Since the daemon started. */
  readonly readBytes: number;
  readonly writtenBytes: number;
}

export interface UiEvent {
  readonly level: string;
  readonly text: string;
}
