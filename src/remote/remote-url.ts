import { ThinError } from '../errors/thin-error.js';
import { isDigest, type Digest } from './digest.js';

/** As OCI has tags. */
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
export const DEFAULT_TAG = 'latest';
/** thinfuse's own tags in a registry, which name no image. */
export const OWN_TAG_PREFIX = 'thinfuse-note-';

/** Which image in a store: by a tag that may move, or by its digest. */
export type ImageName =
  { readonly kind: 'tag'; readonly tag: string } | { readonly kind: 'digest'; readonly digest: Digest };

export type RemotePlace =
  | { readonly kind: 's3'; readonly bucket: string; readonly prefix: string; readonly url: string }
  | { readonly kind: 'oci'; readonly host: string; readonly repository: string; readonly url: string };

/**
 * url   := place [":" tag | "@sha256:" digest]
 * place := "s3://" bucket ["/" prefix] | "oci://" host "/" repository
 *
 * `name` is undefined where the text has none. @throws ThinError invalid-argument
 */
export function parseRemoteUrl(text: string): {
  readonly place: RemotePlace;
  readonly name: ImageName | undefined;
} {
  const [, scheme, rest = ''] = /^(s3|oci):\/\/(.+)$/.exec(text) ?? [];
  if (scheme === undefined || /[@?#\s].*[@?#\s]|[?#\s]/.test(rest)) throw noUrl(text);
  const [path, name] = splitName(rest, text);
  const slash = path.indexOf('/');
  const [first, second] = slash < 0 ? [path, ''] : [path.slice(0, slash), trimmed(path.slice(slash + 1))];
  if (scheme === 's3') {
    if (!/^[a-z0-9][a-z0-9.-]{1,62}$/.test(first) || second.split('/').some((part) => part === '..'))
      throw noUrl(text);
    const prefix = second === '' ? '' : `${second}/`;
    return {
      place: { kind: 's3', bucket: first, prefix, url: `s3://${first}${second && `/${second}`}` },
      name,
    };
  }
  if (!/^[A-Za-z0-9.-]+(:\d{1,5})?$|^\[[0-9a-f:]+\](:\d{1,5})?$/.test(first)) throw noUrl(text);
  if (!/^[a-z0-9]+([._-]+[a-z0-9]+)*(\/[a-z0-9]+([._-]+[a-z0-9]+)*)*$/.test(second)) throw noUrl(text);
  return { place: { kind: 'oci', host: first, repository: second, url: `oci://${first}/${second}` }, name };
}

export function describeName(place: { readonly url: string }, name: ImageName): string {
  return name.kind === 'tag' ? `${place.url}:${name.tag}` : `${place.url}@sha256:${name.digest}`;
}

/** @throws ThinError invalid-argument */
function requireTag(tag: string): string {
  if (TAG.test(tag) && !tag.startsWith(OWN_TAG_PREFIX)) return tag;
  throw new ThinError(
    'invalid-argument',
    `${JSON.stringify(tag)} is not a tag: up to 128 letters, digits, ".", "_" and "-", the first a letter, a digit or "_"`,
  );
}

function splitName(rest: string, text: string): [string, ImageName | undefined] {
  const at = rest.indexOf('@');
  if (at >= 0) {
    const digest = rest.slice(at + 1).replace(/^sha256:/, '');
    if (!isDigest(digest)) throw noUrl(text);
    return [rest.slice(0, at), { kind: 'digest', digest }];
  }
  const colon = rest.lastIndexOf(':');
  // The one of a port is followed by a path.
  if (colon < 0 || rest.includes('/', colon)) return [rest, undefined];
  return [rest.slice(0, colon), { kind: 'tag', tag: requireTag(rest.slice(colon + 1)) }];
}

function trimmed(path: string): string {
  return path.replace(/^\/+|\/+$/g, '');
}

function noUrl(text: string): ThinError {
  return new ThinError(
    'invalid-argument',
    `${JSON.stringify(text)} names no store; write s3://BUCKET/PREFIX or oci://HOST/REPOSITORY, followed by :TAG or @sha256:DIGEST`,
  );
}
