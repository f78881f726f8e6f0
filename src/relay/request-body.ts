import type { Readable } from 'node:stream';

/** The whole of a request; undefined: it is longer than `most` bytes. Errors: the client broke off. */
export async function requestBody(request: Readable, most: number): Promise<Buffer | undefined> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) {
    bytes += piece.length;
    // Read to its end all the same, so that the client reads the answer.
    if (bytes <= most) pieces.push(piece);
    else pieces.length = 0;
  }
  return bytes > most ? undefined : Buffer.concat(pieces);
}
