import { ThinError } from '../errors/thin-error.js';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * `[HOST:]PORT`; without a host, this machine only.
 * @param flag what it was given with, for the message
 * @throws ThinError invalid-argument
 */
export function parseListenAddress(text: string, flag: string): ListenAddress {
  const match = /^(?:(.+):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2] ?? Number.NaN);
  if (!(port >= 0 && port <= 65_535))
    throw new ThinError(
      'invalid-argument',
      `${flag}: ${JSON.stringify(text)} is not an address; write PORT, or HOST:PORT, such as 127.0.0.1:9180`,
    );
  return { host: match?.[1]?.replace(/^\[|\]$/g, '') ?? '127.0.0.1', port };
}

/** Whether only this machine reaches it. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
