import { legacyDamage } from '../legacy-damage.js';
import { parseLvmText, type LvmSection, type LvmValue } from './lvm-text.js';

const SECTOR = 512;

/** A disk of a group, as the group knows it. */
export interface PhysicalVolume {
  /** Its name in the text: `pv0`. */
  readonly name: string;
  /** 32 characters, without dashes. */
  readonly id: string;
  /** Where it was seen last. A hint only. */
  readonly device: string | undefined;
  /** Bytes from its beginning to its first extent. */
  readonly extentsBegin: number;
  readonly extents: number;
  /** The group went on without it: what it holds is older than the text. */
  readonly missing: boolean;
}

/** Where a stripe lies: extents of a physical volume or, in what LVM stacks, of another logical one. */
export interface StripeArea {
  readonly on: string;
  readonly extent: number;
}

/** Extents [begin, begin + extents) of a logical volume, and what they are made of. */
export type Segment = { readonly begin: number; readonly extents: number } & (
  | {
      readonly type: 'striped';
      /** Bytes; of no meaning where there is one area. */
      readonly stripeSize: number;
      readonly areas: readonly StripeArea[];
    }
  | {
      readonly type: 'thin-pool';
      readonly metadata: string;
      readonly data: string;
      /** Bytes of a data block. */
      readonly chunkSize: number;
    }
  | {
      readonly type: 'thin';
      readonly pool: string;
      readonly deviceId: number;
      readonly origin: string | undefined;
      readonly externalOrigin: string | undefined;
    }
  | { readonly type: 'zero' | 'error' }
  | {
      readonly type: 'other';
      readonly name: string;
      /** Volumes that hold the changed blocks of a snapshot from before thin pools. */
      readonly cowStores: readonly string[];
    }
);

export interface LogicalVolume {
  readonly name: string;
  /** LVM shows it; parts of other volumes it does not. */
  readonly visible: boolean;
  readonly extents: number;
  readonly segments: readonly Segment[];
}

/** What the text of a metadata area describes. Sizes in bytes. */
export interface VolumeGroup {
  readonly name: string;
  readonly id: string;
  /** Counts the changes: of two texts of one group, the higher one holds. */
  readonly sequence: number;
  readonly extentSize: number;
  readonly physical: ReadonlyMap<string, PhysicalVolume>;
  readonly logical: ReadonlyMap<string, LogicalVolume>;
}

/** As lib/format_text/import_vsn1.c reads it. @throws ThinError damaged, naming `path` */
export function parseVolumeGroup(text: string, path: string): VolumeGroup {
  const top = parseLvmText(text, path);
  const [entry, ...others] = top.sections;
  if (entry === undefined || others.length > 0)
    throw legacyDamage(path, 'its text does not describe one group of volumes');
  const [name, group] = entry;
  const within = new Reader(group, `${path} / group ${name}`);
  return {
    name,
    id: withoutDashes(within.text('id')),
    sequence: within.count('seqno'),
    extentSize: within.count('extent_size') * SECTOR,
    physical: mapSections(within.section('physical_volumes'), `${path} / disk`, physicalVolume),
    logical: mapSections(within.section('logical_volumes'), `${path} / volume`, logicalVolume),
  };
}

function mapSections<T>(
  parent: LvmSection | undefined,
  path: string,
  unpack: (name: string, reader: Reader) => T,
): ReadonlyMap<string, T> {
  return new Map(
    [...(parent?.sections ?? [])].map(([name, section]) => [
      name,
      unpack(name, new Reader(section, `${path} ${name}`)),
    ]),
  );
}

function physicalVolume(name: string, reader: Reader): PhysicalVolume {
  return {
    name,
    id: withoutDashes(reader.text('id')),
    device: reader.optionalText('device'),
    extentsBegin: reader.count('pe_start') * SECTOR,
    extents: reader.count('pe_count'),
    missing: reader.texts('flags').includes('MISSING'),
  };
}

function logicalVolume(name: string, reader: Reader): LogicalVolume {
  const segments = [...reader.sections('segment')].map(segment).sort((a, b) => a.begin - b.begin);
  let extents = 0;
  for (const one of segments) {
    if (one.begin !== extents) throw reader.damage(`its segments leave a gap at extent ${extents}`);
    extents += one.extents;
  }
  return { name, visible: reader.texts('status').includes('VISIBLE'), extents, segments };
}

function segment(reader: Reader): Segment {
  const range = { begin: reader.count('start_extent'), extents: reader.count('extent_count') };
  const type = reader.text('type').replace(/\+.*$/, '');
  switch (type) {
    case 'striped':
    case 'linear': {
      const areas = stripesOf(reader);
      const stripeSize = areas.length > 1 ? reader.count('stripe_size') * SECTOR : 0;
      if (areas.length === 0 || range.extents % areas.length !== 0 || (areas.length > 1 && stripeSize === 0))
        throw reader.damage(`${range.extents} extents cannot lie in ${areas.length} stripes`);
      return { ...range, type: 'striped', stripeSize, areas };
    }
    case 'thin-pool':
      return {
        ...range,
        type,
        metadata: reader.text('metadata'),
        data: reader.text('pool'),
        chunkSize: reader.count('chunk_size') * SECTOR,
      };
    case 'thin':
      return {
        ...range,
        type,
        pool: reader.text('thin_pool'),
        deviceId: reader.count('device_id'),
        origin: reader.optionalText('origin'),
        externalOrigin: reader.optionalText('external_origin'),
      };
    case 'zero':
    case 'error':
      return { ...range, type };
    default:
      return {
        ...range,
        type: 'other',
        name: type,
        cowStores: ['cow_store', 'merging_store'].flatMap((key) => reader.optionalText(key) ?? []),
      };
  }
}

function stripesOf(reader: Reader): readonly StripeArea[] {
  const list = reader.list('stripes');
  const areas: StripeArea[] = [];
  for (let at = 0; at < list.length; at += 2) {
    const [on, extent] = [list[at], list[at + 1]];
    if (typeof on !== 'string' || typeof extent !== 'number')
      throw reader.damage('its stripes are not pairs of a name and an extent');
    areas.push({ on, extent });
  }
  return areas;
}

/** Values of a section by name and kind. */
class Reader {
  readonly #section: LvmSection;
  readonly #path: string;

  constructor(section: LvmSection, path: string) {
    this.#section = section;
    this.#path = path;
  }

  section(name: string): LvmSection | undefined {
    return this.#section.sections.get(name);
  }

  /** Those whose name begins with `prefix`. */
  sections(prefix: string): readonly Reader[] {
    return [...this.#section.sections]
      .filter(([name]) => name.startsWith(prefix))
      .map(([name, section]) => new Reader(section, `${this.#path} / ${name}`));
  }

  text(name: string): string {
    const value = this.#section.values.get(name);
    if (typeof value !== 'string') throw this.damage(`it has no text ${name}`);
    return value;
  }

  optionalText(name: string): string | undefined {
    return this.#section.values.has(name) ? this.text(name) : undefined;
  }

  count(name: string): number {
    const value = this.#section.values.get(name);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0)
      throw this.damage(`it has no number ${name}`);
    return value;
  }

  list(name: string): readonly LvmValue[] {
    const value = this.#section.values.get(name);
    return Array.isArray(value) ? (value as readonly LvmValue[]) : [];
  }

  texts(name: string): readonly string[] {
    return this.list(name).filter((value) => typeof value === 'string');
  }

  damage(problem: string): Error {
    return legacyDamage(this.#path, problem);
  }
}

function withoutDashes(id: string): string {
  return id.replaceAll('-', '');
}
