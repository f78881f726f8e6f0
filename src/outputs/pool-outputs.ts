import * as z from 'zod';
import { bytes, count, device, exactly, finding, lacks, mode, pool, time } from './shapes.js';

export const init = z.object({
  root: z.string(),
  kind: pool,
  dataPath: z.string().nullable(),
  dataSize: bytes,
  metadataSize: bytes,
  blockSize: bytes,
  base: device,
});

export const start = z.object({ pid: count, root: z.string(), socket: z.string() });
export const restart = z.object({ pid: count, root: z.string() });
export const stop = restart.extend({ lacks });

const liveOptions = z.object({
  /** Percent, as the next two. */
  autoextendThreshold: count,
  autoextendPercent: count,
  minFreeSpace: count,
  errorIfNoSpace: z.boolean(),
  /** Seconds; 0: for ever. */
  noSpaceTimeout: count,
  /** Bytes; 0: dm-thin's own mark. */
  lowWater: bytes,
  metadataLowWater: bytes,
  /** Seconds. */
  originTimeout: count,
  compression: z.enum(['lz4', 'zstd', 'off']),
  /** Bytes; 0: by the machine's memory. */
  cacheSize: bytes,
});

const space = z.object({
  data: z.object({
    path: z.string(),
    kind: z.enum(['disk', 'file', 'leveldb']),
    total: bytes,
    used: bytes,
    stored: bytes.nullable().optional(),
    available: bytes,
  }),
  metadata: z.object({ total: bytes, used: bytes }),
  host: z.object({ bytes, free: bytes.nullable().optional() }),
});

const daemonStatus = z.object({
  pid: count,
  startedAt: time,
  root: z.string(),
  pool: z.string(),
  transport: z.enum(['kernel', 'fuse-native']),
  mode,
  transactionId: count,
  settings: liveOptions,
  /** dm-thin's own status line. */
  dm: z.string(),
  remote: z
    .object({
      remote: bytes,
      inFlight: bytes,
      fetched: bytes,
      failures: count,
      waitedMs: z.number(),
      problem: z.string().nullable().optional(),
    })
    .optional(),
  devices: z.object({ total: count, active: count, mounted: count }),
  space,
  lacks,
});
export const status = z.union([daemonStatus, z.object({ dm: z.string() })]);

export const info = z.object({
  storageDriver: z.literal('devicemapper'),
  poolName: z.string(),
  kind: pool,
  uuid: z.string(),
  mode,
  needsCheck: z.boolean(),
  blockSize: bytes,
  baseSize: bytes,
  filesystem: z.enum(['xfs', 'ext4']),
  dataFile: z.string().nullable(),
  metadataFile: z.string().nullable(),
  dataLoopFile: z.string().nullable(),
  metadataLoopFile: z.string().nullable(),
  dataUsed: bytes,
  dataTotal: bytes,
  dataAvailable: bytes,
  dataStored: bytes.nullable(),
  metadataUsed: bytes,
  metadataTotal: bytes,
  metadataAvailable: bytes,
  minFreeSpace: bytes,
  deferredRemoval: z.boolean(),
  deferredDeletion: z.boolean(),
  deferredDeletedDevices: count,
  version: z.string(),
});

export const df = z.object({
  pool: z.object({
    total: bytes,
    used: bytes,
    stored: bytes.nullable(),
    free: bytes,
    available: bytes,
    dataPath: z.string(),
    hostBytes: bytes,
    hostFree: bytes.nullable(),
    metadataTotal: bytes,
    metadataUsed: bytes,
    pendingDeletes: count,
  }),
  devices: z.array(
    device.pick({
      name: true,
      kind: true,
      size: true,
      mapped: true,
      exclusive: true,
      shared: true,
      mountPoint: true,
    }),
  ),
});

/** Keys as `thinfuse set` takes them; `get KEY` has that one. */
export const settings = z
  .object({
    thinp_autoextend_threshold: count,
    thinp_autoextend_percent: count,
    min_free_space: count,
    queue_if_no_space: z.boolean(),
    no_space_timeout: count,
    /** Null, here and below: auto. */
    low_water_mark: bytes.nullable(),
    metadata_low_water_mark: bytes.nullable(),
    origin_timeout: count,
    compression: z.enum(['lz4', 'zstd', 'off']),
    cache_size: bytes.nullable(),
  })
  .partial();

export const extend = z.object({ dataTotal: bytes, metadataTotal: bytes });
/** `data`: what the label was wiped from. */
export const destroy = z.object({ root: z.string(), data: z.string().nullable() });

export const check = z.union([
  z.object({
    ok: z.boolean(),
    findings: z.array(finding),
    devices: count,
    nodes: count,
    chunks: count,
    needsCheck: z.boolean(),
    transactionId: count,
    /** In blocks of 4096 bytes, as thin_check tells it. */
    metadataFree: count,
    repaired: count,
    /** Changes in the pool's log that the next start takes over; only without a daemon. */
    logged: count.optional(),
  }),
  // Of the kernel's metadata: what thin_check prints, and its KEY=VALUE lines.
  z
    .object({ ok: z.boolean(), problems: z.array(z.string()), mended: z.array(z.string()).optional() })
    .catchall(z.string()),
]);

export const scrub = z.object({
  ok: z.boolean(),
  findings: z.array(finding),
  devices: count,
  nodes: count,
  chunks: count,
});

export const doctor = z.union([
  z.object({
    findings: z.array(
      z.object({
        severity: z.enum(['note', 'problem']),
        kind: z.string(),
        subject: z.string(),
        message: z.string(),
        mendable: z.boolean(),
        mended: z.boolean(),
      }),
    ),
    left: count,
  }),
  z.object({
    works: z.boolean(),
    /** Of --containerd: the files that were read. */
    files: z.array(z.string()).optional(),
    findings: z.array(
      z.object({
        area: z.enum(['tool', 'node', 'device', 'kernel', 'space', 'containerd']),
        subject: z.string(),
        need: z.enum(['required', 'optional', 'advised']),
        state: z.enum(['ok', 'missing', 'unknown']),
        message: z.string(),
        version: z.string().nullable().optional(),
      }),
    ),
  }),
]);

/** One a line. */
export const event = z.object({
  time,
  level: z.enum(['debug', 'info', 'warn', 'error']),
  event: z.string(),
  message: z.string(),
  details: z.record(z.string(), z.unknown()),
});

/** One a line and report. */
export const iostat = z.object({
  time,
  /** That the figures are of. */
  seconds: z.number(),
  devices: z.array(
    z.object({
      name: z.string(),
      readsPerSecond: z.number(),
      writesPerSecond: z.number(),
      readBytesPerSecond: z.number(),
      writtenBytesPerSecond: z.number(),
      readMilliseconds: z.number(),
      writeMilliseconds: z.number(),
      hitPercent: z.number().nullable(),
    }),
  ),
});

/** Prometheus' text format. */
export const metrics = z.object({ text: z.string() });
export const ui = z.object({ url: z.string() });

export const reserved = z.object({ id: count, createdAt: time, transactionId: count, devices: count });
export const released = z.object({ released: z.array(count) });
export const transaction = z.object({ transactionId: count });

export const dump = z.object({ output: z.string() });
export const restore = z.object({ devices: count, mappedChunks: count, strayChunks: count });
const older = z.record(z.string(), z.unknown()).nullable().optional();
export const repair = z.union([
  z.object({
    root: z.string(),
    devices: count,
    chunks: count,
    lost: z.array(z.object({ path: z.string(), problem: z.string() })),
    /** Records of the damaged pool's log that came along. */
    logged: count,
    data: z.string().nullable().optional(),
    older,
  }),
  // --accept-older
  z.object({
    older,
    log: z.string().nullable().optional(),
    /** Whether the log follows commits that are missing, and was left out with them. */
    leftLog: z.boolean(),
    transactionId: count,
    direct: z.boolean(),
  }),
  // --accept-data
  z.object({ path: z.string(), found: z.string().nullable().optional(), written: z.boolean() }),
  // Of the kernel's metadata.
  z.object({ output: z.string() }),
]);

const side = z.union([z.object({ id: count, name: z.string() }), count]);
export const delta = z.object({
  left: side,
  right: side,
  blockSize: bytes,
  ranges: z.array(
    z.object({
      kind: z.enum(['same', 'different', 'left_only', 'right_only']),
      /** In blocks of `blockSize`, as all below. */
      begin: count,
      length: count,
      left: count.optional(),
      right: count.optional(),
    }),
  ),
});
/** In blocks of the pool's block size. */
export const rmap = z.array(z.object({ chunk: count, length: count, device: count, block: count }));

export const metadataSize = z.object({ bytes: z.number(), unit: z.string(), amount: z.string() });
export const packed = z.object({ output: z.string(), bytes });
export const unpacked = z.object({ output: z.string(), blocks: count });
export const discarded = z.object({ bytes, ranges: count });
export const shrunk = z.object({ output: z.string(), size: bytes, blocks: count, moved: bytes });

const damage = z.object({ path: z.string(), problem: z.string() });
const oldPool = z.object({
  path: z.string(),
  uuid: z.string(),
  version: count,
  time: count,
  transactionId: exactly,
  flags: count,
  needsCheck: z.boolean(),
  metadataSnapshot: count.nullable(),
  blockSize: bytes,
  dataTotal: bytes,
  dataUsed: bytes,
  metadataBlockSize: bytes,
  metadataTotal: bytes,
  metadataUsed: bytes,
  devices: count,
  dockerOnly: z.array(z.string()),
  damage: z.array(damage),
});
export const legacyInfo = z.union([
  oldPool,
  z.object({
    path: z.string(),
    pools: z.array(oldPool),
    volumes: z.array(
      z.object({
        group: z.string(),
        name: z.string(),
        size: bytes.nullable().optional(),
        problem: z.string().nullable().optional(),
      }),
    ),
    broken: z.array(damage),
  }),
]);
