/** Milliseconds. How often a client is asked for a sign of life, and how long it may take to give one. */
export interface KeepAlive {
  readonly intervalMs: number;
  readonly timeoutMs: number;
}

/**
 * Node's HTTP/2 says goodbye to a client that breaks the protocol (a PING of a wrong size) and then neither
 * reads on nor closes, so that only a ping without an answer tells that the connection is of no use any more.
 * Clients of gRPC answer pings by themselves; the timeout leaves room for one on a machine that is very busy.
 */
export const KEEP_ALIVE: KeepAlive = { intervalMs: 5_000, timeoutMs: 20_000 };
