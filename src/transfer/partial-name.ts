import { ThinError } from '../errors/thin-error.js';
import { parseDeviceName } from '../format/device-name.js';
import { formatPoint, parsePoint, type StreamPoint } from './stream-format.js';

/**
 * What came before a cut is a device whose name says of what it is a part and how far it has come: one
 * rename, so that the two never drift apart.
 *
 *   partial := NAME ".partial-" OFFSET "-" SUM
 */
const PARTIAL = /^(.+)\.partial-(\d+-[0-9a-f]{32})$/;

/** @throws ThinError invalid-argument (the name gets too long) */
export function partialName(name: string, point: StreamPoint): string {
  return parseDeviceName(`${name}.partial-${formatPoint(point)}`);
}

/** How far the part of `name` has come that is called `partial`; undefined where it is none. */
export function partialOf(name: string, partial: string): StreamPoint | undefined {
  const [, whole, point] = PARTIAL.exec(partial) ?? [];
  if (whole !== name || point === undefined) return undefined;
  try {
    return parsePoint(point);
  } catch (error) {
    if (error instanceof ThinError) return undefined;
    throw error;
  }
}
