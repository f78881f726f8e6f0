import { Option, type Command } from 'commander';
import { ThinError } from '../errors/thin-error.js';
import type { HeldChoice } from '../metadata/metadata-view.js';

export interface SnapshotFlag {
  readonly metadataSnap?: string | true;
}

/** `-m, --metadata-snap [number]`, as thin_dump and thin_delta have it. */
export function withSnapshotOption(command: Command): Command {
  return command.addOption(
    new Option(
      '-m, --metadata-snap [number]',
      'read a metadata snapshot: this one, or the one reserved last (see: thinfuse reserve)',
    ),
  );
}

/** @throws ThinError invalid-argument */
export function snapshotOf({ metadataSnap }: SnapshotFlag): HeldChoice | undefined {
  if (metadataSnap === undefined) return undefined;
  return metadataSnap === true ? 'newest' : parseCount(metadataSnap, '--metadata-snap');
}

/** Of the kernel's metadata: the block of the one that there is. @throws ThinError invalid-argument */
export function kernelSnapshotOf({ metadataSnap }: SnapshotFlag): boolean | number {
  if (metadataSnap === undefined) return false;
  return metadataSnap === true ? true : parseCount(metadataSnap, '--metadata-snap');
}

/** @throws ThinError invalid-argument */
export function parseCount(text: string, what: string): number {
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw new ThinError('invalid-argument', `${what}: ${JSON.stringify(text)} is not a whole number`);
}
