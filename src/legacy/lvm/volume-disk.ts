import type { Gap } from '../block-reader.js';
import type { DiskPlace, DiskReader } from '../disk-reader.js';
import { legacyDamage } from '../legacy-damage.js';
import type { VolumeMap, VolumePiece } from './volume-map.js';

/** A logical volume as LVM's text puts it together from its disks. */
export class VolumeDisk implements DiskReader {
  readonly path: string;
  readonly size: number;
  readonly #map: VolumeMap;

  constructor(path: string, map: VolumeMap) {
    this.path = path;
    this.size = map.size;
    this.#map = map;
  }

  gaps(begin: number, end: number): readonly Gap[] {
    const gaps: Gap[] = [];
    for (const piece of this.#map.pieces(begin, Math.min(end, this.size))) gaps.push(...this.#gapsIn(piece));
    if (end > this.size)
      gaps.push({ begin: Math.max(begin, this.size), end, problem: `${this.path} ends before it` });
    return gaps;
  }

  readSync(offset: number, length: number, into = Buffer.allocUnsafe(length)): Buffer {
    this.#requireInside(offset, length);
    for (const piece of this.#map.pieces(offset, offset + length)) {
      const part = into.subarray(piece.begin - offset, piece.end - offset);
      if (piece.on === 'zero') part.fill(0);
      else this.#diskOf(piece).readSync(piece.from, part.length, part);
    }
    return into;
  }

  async read(offset: number, into: Uint8Array): Promise<void> {
    this.#requireInside(offset, into.length);
    const reads: Promise<void>[] = [];
    for (const piece of this.#map.pieces(offset, offset + into.length)) {
      const part = into.subarray(piece.begin - offset, piece.end - offset);
      if (piece.on === 'zero') part.fill(0);
      else reads.push(this.#diskOf(piece).read(piece.from, part));
    }
    await Promise.all(reads);
  }

  *places(begin: number, end: number): Generator<DiskPlace> {
    for (const piece of this.#map.pieces(begin, Math.min(end, this.size)))
      if (piece.on !== 'zero' && !('problem' in piece.on))
        yield* piece.on.places(piece.from, piece.from + (piece.end - piece.begin));
  }

  #gapsIn(piece: VolumePiece): readonly Gap[] {
    const { begin, end, from, on } = piece;
    if (on === 'zero') return [];
    if ('problem' in on) return [{ begin, end, problem: on.problem }];
    return on.gaps(from, from + (end - begin)).map((gap) => ({
      begin: gap.begin - from + begin,
      end: gap.end - from + begin,
      problem: gap.problem,
    }));
  }

  #diskOf({ on, begin }: VolumePiece): DiskReader {
    if (on === 'zero' || 'problem' in on)
      throw legacyDamage(
        `byte ${begin} of ${this.path}`,
        on === 'zero' ? 'nothing is stored there' : on.problem,
      );
    return on;
  }

  #requireInside(offset: number, length: number): void {
    if (offset + length > this.size)
      throw legacyDamage(
        `byte ${Math.max(offset, this.size)} of ${this.path}`,
        `the volume ends at ${this.size}`,
      );
  }
}
