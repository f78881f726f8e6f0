import { ThinError } from '../errors/thin-error.js';
import { lostDataLines } from './missing-data.js';
import type { LostBytes } from './lost-data.js';
import type { LostFile } from './lost-files.js';
import type { OpenedOldDevice } from './old-device.js';

/** What a device lacks that was read all the same. */
export interface LostReport {
  readonly lines: readonly string[];
  readonly ranges: readonly LostBytes[];
  /** Undefined where the filesystem does not tell. */
  readonly files: readonly LostFile[] | undefined;
  readonly label: string;
  /** What was read as zeroes, in short; undefined where all of it was read. */
  readonly summary: string | undefined;
}

/** @throws ThinError io (exit code 1), which names each device that is not whole */
export function requireNoneLost(reports: readonly LostReport[]): void {
  const lacking = reports.filter(({ summary }) => summary !== undefined);
  if (lacking.length === 0) return;
  const all = lacking.map(({ label, summary }) => `device ${label} is not whole: ${summary}`);
  throw new ThinError('io', `${all.join('; ')}, as listed; everything else is as it was`, {
    details: {
      device: lacking[0]!.label,
      devices: lacking.map(({ label }) => label).join(', '),
      ranges: lacking.reduce((sum, { lines }) => sum + lines.length, 0),
    },
  });
}

/**
 * Says what was read as zeroes, by range and by file; behind the reading, because only that shows which
 * sectors cannot be read.
 */
export async function reportLost(
  device: OpenedOldDevice,
  onNote: (text: string) => void,
): Promise<LostReport> {
  const ranges = device.lost.ranges;
  const known = new Set(device.lostLines);
  const more = lostDataLines(device.label, ranges).filter((line) => !known.has(line));
  for (const line of more) onNote(line);
  const files =
    ranges.length === 0 ? undefined : await (await import('./lost-files.js')).filesIn(device, ranges, onNote);
  for (const { path, ranges: inFile } of files ?? [])
    onNote(
      `device ${device.label}: file ${path} has zeroes at ${inFile.map(({ begin, end }) => `${begin} to ${end - 1}`).join(', ')}`,
    );
  const lines = [...device.lostLines, ...more];
  const bytes = ranges.reduce((sum, { begin, end }) => sum + end - begin, 0);
  return {
    lines,
    ranges,
    files,
    label: device.label,
    // What is lost of the metadata was said before, and is a hole.
    summary:
      ranges.length > 0
        ? `${bytes} bytes in ${ranges.length} ranges are zeroes`
        : device.lacksData
          ? `${lines.length} ranges are lost`
          : undefined,
  };
}
