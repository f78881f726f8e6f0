import type { ServedPool } from '../service/pool-service.js';

/**
 * Another way into a serving daemon than its control socket, for a program that speaks a protocol of its own.
 */
export interface Adapter {
  /** Errors: already-running (another process answers there), and failures to make a socket. */
  listen(): Promise<void>;
  /** Takes no more calls, and resolves when none is under way and nothing is held open but mounts. */
  pause(): Promise<void>;
  /** Takes calls again, after a stop that was given up. */
  resume(): void;
  /** After `pause`, before the pool is closed. */
  close(): Promise<void>;
}

/** A daemon's figures, as text of the type that is named. */
export interface Figures {
  readonly contentType: string;
  /** In bounded steps. */
  pieces(): AsyncIterable<string>;
}

export type MakeAdapter = (served: ServedPool, figures: Figures) => Adapter;
