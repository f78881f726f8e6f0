import { ThinError } from '../../errors/thin-error.js';
import type { DiskReader } from '../disk-reader.js';
import { legacyDamage } from '../legacy-damage.js';
import type { LogicalVolume, Segment, StripeArea, VolumeGroup } from './volume-group.js';

/** Volumes on one another; LVM stacks three or four. */
const MAX_DEPTH = 8;

/** What cannot be read, and why. */
export interface NotThere {
  readonly problem: string;
}

/** Bytes [begin, end) of a volume that lie in one piece, on `on` from `from` on. */
export interface VolumePiece {
  readonly begin: number;
  readonly end: number;
  readonly from: number;
  readonly on: DiskReader | NotThere | 'zero';
}

/** Disks of a group by their name in its text; what is missing says why. */
export type GroupDisks = ReadonlyMap<string, DiskReader | NotThere>;

type StripedSegment = Extract<Segment, { readonly type: 'striped' }>;

/** Where the bytes of a volume lie. */
export class VolumeMap {
  /** Bytes. */
  readonly size: number;
  readonly #group: VolumeGroup;
  readonly #disks: GroupDisks;
  readonly #volume: LogicalVolume;

  /** Errors: unsupported (it is made of what is not read here), damaged. */
  constructor(group: VolumeGroup, disks: GroupDisks, volume: LogicalVolume) {
    requireReadable(group, volume, 0);
    this.#group = group;
    this.#disks = disks;
    this.#volume = volume;
    this.size = volume.extents * group.extentSize;
  }

  /** Ascending, from `begin` to `end` without a gap. */
  *pieces(begin: number, end: number): Generator<VolumePiece> {
    for (const segment of this.#volume.segments) {
      const at = segment.begin * this.#group.extentSize;
      const behind = at + segment.extents * this.#group.extentSize;
      if (behind <= begin) continue;
      if (at >= end) return;
      yield* this.#inSegment(segment, Math.max(begin, at), Math.min(end, behind));
    }
  }

  *#inSegment(segment: Segment, begin: number, end: number): Generator<VolumePiece> {
    if (segment.type === 'striped') {
      yield* this.#inStripes(segment, begin, end);
      return;
    }
    const on = segment.type === 'zero' ? 'zero' : { problem: 'LVM has marked it as an error' };
    yield { begin, end, from: 0, on };
  }

  *#inStripes(
    { begin: first, stripeSize, areas }: StripedSegment,
    begin: number,
    end: number,
  ): Generator<VolumePiece> {
    const base = first * this.#group.extentSize;
    for (let at = begin; at < end;) {
      const within = at - base;
      const stripe = stripeSize === 0 ? 0 : Math.floor(within / stripeSize);
      const stop = stripeSize === 0 ? end : Math.min(end, base + (stripe + 1) * stripeSize);
      const row = Math.floor(stripe / areas.length);
      const from = stripeSize === 0 ? within : row * stripeSize + (within % stripeSize);
      yield* this.#onArea(areas[stripe % areas.length]!, from, at, stop);
      at = stop;
    }
  }

  *#onArea({ on, extent }: StripeArea, from: number, begin: number, end: number): Generator<VolumePiece> {
    const { extentSize, physical, logical } = this.#group;
    const start = extent * extentSize + from;
    const disk = physical.get(on);
    if (disk !== undefined) {
      yield { begin, end, from: disk.extentsBegin + start, on: this.#disks.get(on)! };
      return;
    }
    const below = new VolumeMap(this.#group, this.#disks, logical.get(on)!);
    for (const piece of below.pieces(start, start + (end - begin)))
      yield { ...piece, begin: piece.begin - start + begin, end: piece.end - start + begin };
  }
}

/** Errors: unsupported, naming what it is; damaged. */
function requireReadable(group: VolumeGroup, volume: LogicalVolume, depth: number): void {
  const path = `volume ${group.name}/${volume.name}`;
  if (depth > MAX_DEPTH) throw legacyDamage(path, 'it stands on itself');
  for (const segment of volume.segments) {
    if (segment.type === 'other' || segment.type === 'thin' || segment.type === 'thin-pool')
      throw unreadableVolume(group, volume, segment.type === 'other' ? segment.name : segment.type);
    if (segment.type !== 'striped') continue;
    for (const { on } of segment.areas) {
      if (group.physical.has(on)) continue;
      const below = group.logical.get(on);
      if (below === undefined) throw legacyDamage(path, `nothing in its group is called ${on}`);
      requireReadable(group, below, depth + 1);
    }
  }
}

const KINDS: readonly (readonly [RegExp, string])[] = [
  [/^raid|^mirror/, 'a mirror or RAID of LVM'],
  [/^cache/, 'cached by dm-cache'],
  [/^writecache/, 'cached by dm-writecache'],
  [/^vdo/, 'a VDO volume'],
  [/^integrity/, 'kept by dm-integrity'],
  [/^crypt/, 'encrypted'],
  [/^snapshot/, 'a copy-on-write snapshot of before thin pools'],
];

export function unreadableVolume(group: VolumeGroup, { name }: LogicalVolume, type: string): ThinError {
  const what = KINDS.find(([pattern]) => pattern.test(type))?.[1] ?? 'of a kind that is not known here';
  return new ThinError(
    'unsupported',
    `volume ${group.name}/${name} is ${what} (segment type ${type}), and thinfuse reads linear, striped and thin volumes only; copy it on a host with LVM: lvchange -ay ${group.name}/${name}, then dd`,
    { details: { volume: name, type } },
  );
}
