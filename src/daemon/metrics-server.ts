import { Readable } from 'node:stream';
import Fastify from 'fastify';
import { systemErrorCode, ThinError } from '../errors/thin-error.js';
import type { Adapter, MakeAdapter } from '../adapter/adapter.js';
import { HTTP_LIMITS, httpTimeouts, type HttpLimits } from '../adapter/http-limits.js';
import type { ListenAddress } from './listen-address.js';

/**
 * Serves `GET /metrics`, and nothing else, on a TCP port, for a Prometheus that cannot reach the control
 * socket.
 */
export function metricsAdapter(
  { host, port }: ListenAddress,
  onListening: (url: string) => void,
  limits: HttpLimits = HTTP_LIMITS,
): MakeAdapter {
  return (_served, figures): Adapter => {
    // A client that sends half a request, or reads slowly, does not delay the daemon's end.
    const http = Fastify({ ...httpTimeouts(limits), forceCloseConnections: true, logger: false });
    http.get('/metrics', (_request, reply) =>
      reply.type(figures.contentType).send(Readable.from(figures.pieces())),
    );
    return {
      listen: async () => {
        try {
          onListening(`${await http.listen({ host, port })}/metrics`);
        } catch (error) {
          const code = systemErrorCode(error) === 'EADDRINUSE' ? 'busy' : 'io';
          throw new ThinError(
            code,
            `metrics cannot be served on ${host}:${port}: ${error instanceof Error ? error.message : String(error)}; give another --metrics-listen`,
            { cause: error },
          );
        }
      },
      pause: () => Promise.resolve(),
      resume: () => undefined,
      close: () => http.close(),
    };
  };
}
