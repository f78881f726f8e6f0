/** How long a client of a server's may keep a connection that brings nothing. */
export interface HttpLimits {
  /**
   * Milliseconds for a whole request to arrive, from its first byte. What is done about it, and its answer,
   * may take for ever.
   */
  readonly requestMs: number;
  /** Milliseconds between an answer and the next request. */
  readonly keepAliveMs: number;
}

/** A request is 64 KiB at most, from the same machine. */
export const HTTP_LIMITS: HttpLimits = { requestMs: 30_000, keepAliveMs: 60_000 };

/** As Fastify takes them. */
export interface HttpTimeouts {
  readonly requestTimeout: number;
  readonly keepAliveTimeout: number;
  readonly http: {
    readonly headersTimeout: number;
    readonly requestTimeout: number;
    readonly connectionsCheckingInterval: number;
  };
}

export function httpTimeouts({ requestMs, keepAliveMs }: HttpLimits): HttpTimeouts {
  return {
    requestTimeout: requestMs,
    keepAliveTimeout: keepAliveMs,
    http: {
      headersTimeout: requestMs,
      requestTimeout: requestMs,
      connectionsCheckingInterval: Math.ceil(requestMs / 4),
    },
  };
}
