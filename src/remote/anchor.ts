import * as z from 'zod';
import { isDigest, type Digest } from './digest.js';

/** The label of a device that keeps a pushed state: the place and the image. */
export interface Anchor {
  readonly url: string;
  readonly image: Digest;
}

const label = z.strictObject({
  pushed: z.strictObject({
    url: z.string(),
    image: z.custom<Digest>((value) => typeof value === 'string' && isDigest(value)),
  }),
});

export function packAnchor({ url, image }: Anchor): string {
  return JSON.stringify({ pushed: { url, image } });
}

/** Undefined: the label is of something else. */
export function unpackAnchor(text: string): Anchor | undefined {
  try {
    return label.parse(JSON.parse(text)).pushed;
  } catch {
    return undefined;
  }
}
