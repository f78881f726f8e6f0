import type { ByteReader, ByteWriter } from './byte-cursor.js';

/**
 * What thinfuse takes the content of a device for. `rootfs`: a filesystem with `rootfs/` and `id`, which the
 * first mount makes, as Docker's driver did. `plain`: a filesystem of the user's, to which a mount adds
 * nothing. `raw`: a disk that thinfuse has made no filesystem on.
 */
export const CONTENTS = ['rootfs', 'plain', 'raw'] as const;
export type Content = (typeof CONTENTS)[number];

/** How a device is mounted when the daemon starts. */
export interface Automount {
  /** An absolute path; empty: `<root>/mnt/NAME`. */
  readonly target: string;
  readonly readOnly: boolean;
  /** For mount(8), beside the pool's own, comma-separated; empty: none. */
  readonly options: string;
  /** On its usual place, users other than root reach it (`MountAsk.allowOther`). */
  readonly allowOther: boolean;
}

/** The user's own, by key; in the order of the keys. */
export type Labels = Readonly<Record<string, string>>;

export const NO_LABELS: Labels = {};

const READ_ONLY = 1;
const ALLOW_OTHER = 2;

/** automount := flags:u8 target:text options:text */
export function packAutomount(to: ByteWriter, { target, readOnly, options, allowOther }: Automount): void {
  to.u8((readOnly ? READ_ONLY : 0) | (allowOther ? ALLOW_OTHER : 0))
    .text(target)
    .text(options);
}

/** @throws ThinError damaged */
export function unpackAutomount(from: ByteReader): Automount {
  const flags = from.u8();
  return {
    target: from.text(),
    readOnly: (flags & READ_ONLY) !== 0,
    options: from.text(),
    allowOther: (flags & ALLOW_OTHER) !== 0,
  };
}

/** labels := count:u32 (key:text value:text)^count */
export function packLabels(to: ByteWriter, labels: Labels): void {
  const all = Object.entries(labels);
  to.u32(all.length);
  for (const [key, value] of all) to.text(key).text(value);
}

/** @throws ThinError damaged */
export function unpackLabels(from: ByteReader): Labels {
  const count = from.u32();
  const all: [string, string][] = [];
  for (let at = 0; at < count; at++) all.push([from.text(), from.text()]);
  return Object.fromEntries(all);
}
