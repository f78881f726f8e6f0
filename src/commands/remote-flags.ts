export const URL_HELP = 's3://BUCKET/PREFIX or oci://HOST/REPOSITORY, followed by :TAG or @sha256:DIGEST';
export const KEY_OPTION = [
  '--key-file <file>',
  'the key of images that are encrypted: 32 bytes, or 64 hex digits',
] as const;

export interface KeyFlags {
  readonly keyFile?: string;
}
