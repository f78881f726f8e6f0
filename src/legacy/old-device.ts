import { ThinError } from '../errors/thin-error.js';
import type { ImageFile } from '../io/image-file.js';
import { legacyDamage } from './legacy-damage.js';
import { LostData } from './lost-data.js';
import { findDevice, type OldDevice, type OldSource, type PlainVolume } from './old-source.js';
import { openDevice, probe, type OpenedDevice } from './opened-device.js';
import { PlainImage } from './plain-image.js';
import { SourceFile } from './source-file.js';
import { requireData } from './open-source.js';
import { requireWhole, requireWholeData } from './whole.js';

export interface OpenRequest {
  /** Bytes, where neither Docker nor the filesystem tells. */
  readonly size: number | undefined;
  /** Whether what is damaged reads as zeroes. */
  readonly skipDamaged: boolean;
  /** The file that shows what the device does not map. */
  readonly externalOrigin: string | undefined;
  /** Hears what is lost. */
  readonly onNote: (text: string) => void;
}

/** Origins of origins; LVM allows one. */
const MAX_ORIGINS = 8;

/** A device that is whole, or whose damage was said and is skipped. */
export interface OpenedOldDevice extends OpenedDevice {
  /** What of it the metadata and the size of the data show to be lost, in words. */
  readonly lostLines: readonly string[];
  /** Some of its data is known not to be there. */
  readonly lacksData: boolean;
  /** What it shows where it maps nothing, and its name. */
  readonly origin: NamedOrigin | undefined;
}

interface NamedOrigin {
  readonly name: string;
  readonly image: ImageFile;
}

/**
 * Opens a device to read what it holds. `opened` collects what is to be closed.
 * Errors: damaged, unless it is to be skipped; invalid-argument, unsupported; as `SourceFile`.
 */
export async function openOldDevice(
  source: OldSource,
  one: OldDevice,
  request: OpenRequest,
  depth = 0,
): Promise<OpenedOldDevice> {
  const { size, skipDamaged, onNote } = request;
  if (one.kind === 'plain') {
    if (size !== undefined || request.externalOrigin !== undefined)
      throw new ThinError(
        'invalid-argument',
        `${one.label} is an ordinary volume: LVM says its size, and it has no external origin`,
      );
    return openPlain(one.volume, request);
  }
  const { pool, named } = one;
  const lostMappings = requireWhole(pool, named, request);
  const origin = await openOrigin(source, one, request, depth);
  const device = await openDevice(pool.pool, requireData(pool), named, {
    size,
    skipDamaged,
    origin: origin?.image,
  });
  const lostData = requireWholeData(pool, device, request);
  if (depth === 0 && origin === undefined && !pool.knowsOrigins) await tellOfHoles(device, onNote);
  return {
    ...device,
    origin,
    lostLines: [...lostMappings, ...lostData],
    lacksData: lostData.length > 0,
  };
}

async function openPlain(
  volume: PlainVolume,
  { skipDamaged, onNote }: OpenRequest,
): Promise<OpenedOldDevice> {
  const { disk, problem, name } = volume;
  if (disk === undefined) throw problem ?? new ThinError('internal', `volume ${name} is not there`);
  const gaps = disk.gaps(0, disk.size);
  const lostLines = gaps.map(
    ({ begin, end, problem: why }) => `volume ${name}: bytes ${begin} to ${end - 1} are not there: ${why}`,
  );
  if (gaps.length > 0 && !skipDamaged)
    throw legacyDamage(
      `volume ${name}`,
      `${lostLines[0]}${gaps.length > 1 ? `; and ${gaps.length - 1} ranges more` : ''}; --skip-damaged reads them as zeroes`,
    );
  for (const line of lostLines) onNote(line);
  const lost = new LostData();
  const image = new PlainImage(disk, skipDamaged ? lost : undefined);
  const filesystem = await probe(new PlainImage(disk, new LostData()));
  return {
    label: name,
    number: undefined,
    size: disk.size,
    filesystem,
    image,
    lost,
    lostLines,
    origin: undefined,
    lacksData: gaps.length > 0,
  };
}

/** What the user gives, or the volume that LVM's text names. */
async function openOrigin(
  source: OldSource,
  { named, label }: Extract<OldDevice, { kind: 'thin' }>,
  request: OpenRequest,
  depth: number,
): Promise<NamedOrigin | undefined> {
  const { volume } = named;
  // Open until the process ends, as everything of a command is.
  if (request.externalOrigin !== undefined)
    return {
      name: request.externalOrigin,
      image: new PlainImage(new SourceFile(request.externalOrigin, '--external-origin')),
    };
  if (volume?.externalOrigin === undefined) return undefined;
  if (depth >= MAX_ORIGINS) throw legacyDamage(`volume ${label}`, 'its external origins lead back to itself');
  const name = `${volume.group}/${volume.externalOrigin}`;
  const below = await openOldDevice(
    source,
    findDevice(source, name),
    { ...request, size: undefined, externalOrigin: undefined },
    depth + 1,
  );
  return { name, image: below.image };
}

/**
 * Only LVM's text, or the table that a device was activated with, says whether there is an external origin.
 */
async function tellOfHoles(
  { image, label, size }: OpenedDevice,
  onNote: OpenRequest['onNote'],
): Promise<void> {
  const hole = await image.seek(0, 'hole');
  if (hole !== undefined && hole < size)
    onNote(
      `device ${label} maps nothing in places, from byte ${hole} on, which is zeroes unless it has an external origin: nothing here says so; if it has one, give its content with --external-origin`,
    );
}
