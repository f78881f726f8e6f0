import type { ImageFile } from '../io/image-file.js';
import type { MappedRun } from '../transfer/copy-pieces.js';

/**
 * Where a device has data, in bytes: what an export copies, from the device's own place to the same in a
 * file.
 */
export async function* imageRuns(image: Pick<ImageFile, 'seek'>): AsyncGenerator<MappedRun> {
  for (let at = 0; ;) {
    const begin = await image.seek(at, 'data');
    if (begin === undefined) return;
    const end = await image.seek(begin, 'hole');
    if (end === undefined || end <= begin) return;
    yield { begin, data: begin, length: end - begin };
    at = end;
  }
}
