import { SaxesParser } from 'saxes';

export interface S3Page {
  readonly objects: readonly { readonly key: string; readonly size: number; readonly at: number }[];
  /** Where the next page begins; undefined at the end. */
  readonly next: string | undefined;
}

/** What ListObjectsV2 answers. Undefined: the text is no such answer, or half of one. */
export function parseListing(xml: string): S3Page | undefined {
  const objects: { key: string; size: number; at: number }[] = [];
  const page: { isListing: boolean; isTruncated: boolean; next: string | undefined } = {
    isListing: false,
    isTruncated: false,
    next: undefined,
  };
  let text = '';
  let object = { key: '', size: 0, at: 0 };
  const parser = new SaxesParser();
  parser.on('opentag', ({ name }) => {
    text = '';
    if (name === 'ListBucketResult') page.isListing = true;
    if (name === 'Contents') object = { key: '', size: 0, at: 0 };
  });
  parser.on('text', (piece) => (text += piece));
  parser.on('closetag', ({ name }) => {
    if (name === 'Key') object.key = text;
    else if (name === 'Size') object.size = Number(text);
    else if (name === 'LastModified') object.at = Date.parse(text);
    else if (name === 'Contents') objects.push(object);
    else if (name === 'IsTruncated') page.isTruncated = text === 'true';
    else if (name === 'NextContinuationToken') page.next = text;
  });
  try {
    parser.write(xml).close();
  } catch {
    return undefined;
  }
  if (!page.isListing || (page.isTruncated && page.next === undefined)) return undefined;
  return { objects, next: page.isTruncated ? page.next : undefined };
}

/** The code in an error's answer, such as `NoSuchBucket`; undefined where it has none. */
export function errorCodeIn(xml: string): string | undefined {
  return /<Code>([A-Za-z0-9]+)<\/Code>/.exec(xml)?.[1];
}
