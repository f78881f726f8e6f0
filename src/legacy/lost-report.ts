import { ThinError } from '../errors/thin-error.js';
import { lostDataLines } from './missing-data.js';
import type { LostBytes } from './lost-data.js';
import { filesIn, type LostFile } from './lost-files.js';
import type { OpenedOldDevice } from './old-device.js';

/** What a device lacks that was read all the same. */
export interface LostReport {
  readonly lines: readonly string[];
  readonly ranges: readonly LostBytes[];
  /** Undefined where the filesystem does not tell. */
  readonly files: readonly LostFile[] | undefined;
  /** @throws ThinError io (exit code 1) */
  requireNone(): void;
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
  const files = ranges.length === 0 ? undefined : await filesIn(device, ranges, onNote);
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
    requireNone: () => {
      // What is lost of the metadata was said before, and is a hole.
      if (ranges.length > 0 || device.lacksData)
        throw new ThinError(
          'io',
          `device ${device.label} is not whole: ${ranges.length === 0 ? `${lines.length} ranges are lost` : `${bytes} bytes in ${ranges.length} ranges are zeroes`}, as listed; everything else is as it was`,
          { details: { device: device.label, ranges: lines.length } },
        );
    },
  };
}
