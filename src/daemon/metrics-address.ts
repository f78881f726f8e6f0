import { ThinError } from '../errors/thin-error.js';

export interface MetricsAddress {
  readonly host: string;
  readonly port: number;
}

/** `[HOST:]PORT`; without a host, this machine only. @throws ThinError invalid-argument */
export function parseMetricsAddress(text: string): MetricsAddress {
  const match = /^(?:(.+):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2] ?? Number.NaN);
  if (!(port >= 0 && port <= 65_535))
    throw new ThinError(
      'invalid-argument',
      `--metrics-listen: ${JSON.stringify(text)} is no address; write PORT, or HOST:PORT, such as 127.0.0.1:9180`,
    );
  return { host: match?.[1]?.replace(/^\[|\]$/g, '') ?? '127.0.0.1', port };
}
