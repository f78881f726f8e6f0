import { ThinError } from '../errors/thin-error.js';
import { labelOffset, type DataLabel } from '../format/data-label.js';
import { openDataFile, type DataFile } from './data-file.js';
import { leastBytes, mendLabels, oneOf, readLabels } from './data-labels.js';

/** The data of a pool that is there. */
export interface PoolData extends DataFile {
  readonly label: DataLabel;
  /** Where the label at the end stands, in bytes. */
  readonly labelAt: number;
  /** What of its labels was lost and is written again, in words. */
  readonly mended: readonly string[];
}

/**
 * Opens the data of a pool that is there, and writes a label that is lost once more.
 * @throws ThinError as `openDataFile`, and damaged where it is another pool's, or was cut short
 */
export async function openPoolData(
  path: string,
  pool: { readonly uuid: string; readonly blockSize: number; readonly chunks: number },
): Promise<PoolData> {
  const file = await openDataFile(path);
  try {
    const labels = await readLabels(file, path, pool);
    const found = oneOf(labels, path);
    const needed = leastBytes({ ...(found ?? NO_MARGINS), ...pool });
    if (file.size < needed)
      throw damagedData(path, `it has ${file.size} bytes, and the pool needs ${needed}`);
    if (found === undefined)
      throw damagedData(path, "it does not carry a pool's label at its start or its end", UNLABELLED);
    if (found.uuid !== pool.uuid)
      throw damagedData(path, `it belongs to the pool ${found.uuid}, and this one is ${pool.uuid}`);
    const labelAt = labels.last?.at ?? labelOffset(file.size);
    const label = { ...found, ...(found.start === 0 ? {} : { last: labelAt }) };
    return { ...file, label, labelAt, mended: await mendLabels(file, path, labels, label) };
  } catch (error) {
    await file.handle.close();
    throw error;
  }
}

const NO_MARGINS = { preallocated: false, start: 0, last: 0, maker: '' };

/** What may be done where the disk is the right one. */
const UNLABELLED = ', or, if this is it, have both labels written again: thinfuse repair --accept-data';

function damagedData(path: string, problem: string, otherwise = ''): ThinError {
  return new ThinError(
    'damaged',
    `${path} is not the data that this pool was made on: ${problem}; put the right file or device in its place${otherwise}`,
    { details: { path } },
  );
}
