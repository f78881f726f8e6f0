import { formatBinarySize } from '../config/sizes.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { parseDeviceName } from '../format/device-name.js';
import type { Progress } from '../host/archive.js';
import type { PoolAccess } from '../transfer/pool-access.js';
import { PoolTarget } from '../transfer/pool-target.js';
import { summarizeDevice } from './device-summary.js';
import {
  importDevices,
  type ImportBatch,
  type ImportedDevice,
  type NewDevice,
  type VolumeCopy,
} from './import-devices.js';
import { planImport } from './import-plan.js';
import { reportLost, type LostReport } from './lost-report.js';
import { importNames } from './named-devices.js';
import { openOldDevice, type OpenedOldDevice, type OpenRequest } from './old-device.js';
import {
  devicesOf,
  findDevice,
  type OldDevice,
  type OldPool,
  type OldSource,
  type ThinOldDevice,
} from './old-source.js';
import { requireData } from './open-source.js';

export interface PoolImportRequest extends OpenRequest {
  /** The device that comes; undefined: all of them do. */
  readonly wanted: string | undefined;
  /** What the one device is called here. Default: what it was called there. */
  readonly name: string | undefined;
  /** In front of the names from there. */
  readonly prefix: string | undefined;
}

interface Opened {
  readonly one: OldDevice;
  readonly device: OpenedOldDevice;
}

const KINDS: Readonly<Record<OldDevice['role'], NewDevice['kind']>> = {
  base: 'image',
  image: 'image',
  layer: 'image',
  init: 'image',
  container: 'container',
  thin: 'snapshot',
  plain: 'snapshot',
};

type Names = ReadonlyMap<OldDevice, string>;

/** Brings devices of an old pool into a pool, with what they share still shared: all of them or none. */
export class PoolImport {
  readonly #source: OldSource;
  readonly #request: PoolImportRequest;
  readonly #opened: readonly Opened[];

  private constructor(source: OldSource, request: PoolImportRequest, opened: readonly Opened[]) {
    this.#source = source;
    this.#request = request;
    this.#opened = opened;
  }

  /**
   * Walks every device before one is made. Errors: not-found; damaged, unless the request skips that; as
   * `openOldDevice`.
   */
  static async of(source: OldSource, request: PoolImportRequest): Promise<PoolImport> {
    const { wanted, skipDamaged, onNote } = request;
    const chosen = wanted === undefined ? devicesOf(source) : [findDevice(source, wanted)];
    const opened: Opened[] = [];
    const damaged: { readonly label: string; readonly error: ThinError }[] = [];
    for (const { one, label } of chosen.map((one) => ({ one, label: one.label })))
      try {
        opened.push({ one, device: await openOldDevice(source, one, request) });
      } catch (thrown) {
        const error = toThinError(thrown);
        const { code, message } = error;
        const unreadable = code === 'invalid-argument' || code === 'unsupported';
        const leftOut = unreadable || (skipDamaged && code === 'damaged');
        if (chosen.length > 1 && code === 'damaged' && !skipDamaged) damaged.push({ label, error });
        else if (chosen.length === 1 || !leftOut) throw error;
        else onNote(`device ${label} is left out: ${message}`);
      }
    requireNoneDamaged(damaged);
    return new PoolImport(source, request, opened);
  }

  /** Errors: no-space, closed (the signal); as the operations of the pool. */
  async into(
    access: PoolAccess,
    { signal, onProgress }: { signal: AbortSignal; onProgress: ((progress: Progress) => void) | undefined },
  ): Promise<readonly ImportedDevice[]> {
    const taken = new Set((await access.call('device.list', {})).map(({ name }) => String(name)));
    const names = this.#names(taken);
    const batches = this.#source.pools.map((pool) => batchOf(pool, this.#opened, names));
    const volumes = this.#opened.flatMap(({ one, device }) =>
      one.kind === 'plain' ? [volumeCopy(one, device, names)] : [],
    );
    const total = bytesOf(batches) + volumes.reduce((sum, { size }) => sum + size, 0);
    const { dataTotal, dataUsed } = await access.call('pool.info', {});
    const free = dataTotal - dataUsed;
    if (total > free)
      this.#request.onNote(
        `${formatBinarySize(total)} are to be written and the pool has ${formatBinarySize(free)}; it goes well only if much of it is zeroes`,
      );
    let done = 0;
    const onBytes = (bytes: number): void => {
      done += bytes;
      onProgress?.({ done, total: Math.max(done, total) });
    };
    return importDevices(batches, volumes, new PoolTarget(access), { signal, onBytes });
  }

  /** What was lost of each device; known once its bytes were read. */
  async lost(): Promise<readonly LostReport[]> {
    const reports: LostReport[] = [];
    for (const { device } of this.#opened) reports.push(await reportLost(device, this.#request.onNote));
    return reports;
  }

  #names(taken: ReadonlySet<string>): Names {
    const { name, prefix } = this.#request;
    const chosen = this.#opened.map(({ one }) => one);
    const [only] = chosen;
    if (name !== undefined && only !== undefined) return new Map([[only, parseDeviceName(name)]]);
    return importNames(chosen, { prefix, taken });
  }
}

/** @throws ThinError damaged: all of them, so that one run tells what an import has to leave out */
function requireNoneDamaged(damaged: readonly { readonly label: string; readonly error: ThinError }[]): void {
  const [first, ...others] = damaged;
  if (first === undefined) return;
  if (others.length === 0) throw first.error;
  const labels = damaged.map(({ label }) => label);
  throw new ThinError(
    'damaged',
    `${damaged.length} devices are damaged: ${labels.join(', ')}; the first: ${first.error.message}`,
    { cause: first.error, details: { devices: labels.join(', ') } },
  );
}

function bytesOf(batches: readonly ImportBatch[]): number {
  return batches.reduce(
    (sum, { source: { blockSize }, steps }) =>
      steps.reduce((bytes, { blocks }) => bytes + blocks * blockSize, sum),
    0,
  );
}

function batchOf(pool: OldPool, opened: readonly Opened[], names: Names): ImportBatch {
  const { pool: metadata, devices } = pool;
  const byHash = new Map(devices.map(({ docker, device }) => [docker?.hash, device.id]));
  const byVolume = new Map(devices.map(({ volume, device }) => [volume?.name, device.id]));
  const thin = new Map<number, ThinOldDevice>();
  const planned = opened.flatMap(({ one, device }) => {
    const tree = one.kind === 'thin' ? one.named.device.tree : undefined;
    if (one.kind === 'plain' || one.pool !== pool || tree === undefined) return [];
    const { docker, volume } = one.named;
    thin.set(one.number, one);
    return [
      {
        device: { ...one.named.device, tree },
        summary: summarizeDevice(one.named.device, metadata.dataBlocks),
        size: device.size,
        filesystem: device.filesystem?.type,
        hint: docker === undefined ? of(byVolume, volume?.origin) : of(byHash, docker.parent),
        image: device.image,
        below: device.origin,
      },
    ];
  });
  return {
    source: {
      data: requireData(pool),
      blockSize: metadata.superblock.blockSize,
      dataBlocks: metadata.dataBlocks,
      describe: ({ device, filesystem }) => {
        const one = thin.get(device.id);
        return {
          name: (one && names.get(one)) ?? `thin-${device.id}`,
          kind: KINDS[one?.role ?? 'thin'],
          // A device has one of the two in its record; with neither in it, it is activated and not mounted.
          filesystem: filesystem ?? 'xfs',
        };
      },
    },
    steps: planImport(planned, metadata.dataBlocks),
  };
}

function of(ids: ReadonlyMap<string | undefined, number>, key: string | undefined): number | undefined {
  return key === undefined ? undefined : ids.get(key);
}

function volumeCopy(one: OldDevice, device: OpenedOldDevice, names: Names): VolumeCopy {
  return {
    name: names.get(one) ?? one.label,
    kind: KINDS[one.role],
    filesystem: device.filesystem?.type ?? 'xfs',
    size: device.size,
    image: device.image,
  };
}
