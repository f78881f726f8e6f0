import fc from 'fast-check';
import { CONTENTS } from '../../src/format/device-properties.js';
import { DEVICE_KINDS, FILESYSTEMS, type DeviceRecord } from '../../src/format/device-record.js';
import {
  deviceId,
  MAX_CHUNKS,
  nodeId,
  snapTime,
  transactionId,
  type DeviceName,
} from '../../src/format/ids.js';
import type { Superblock } from '../../src/format/superblock.js';

export const u32 = fc.nat(2 ** 32 - 1);
const u64 = fc.maxSafeNat();
export const text = fc.string({ unit: 'grapheme', maxLength: 40 });

export const anyDevice: fc.Arbitrary<DeviceRecord> = fc.record(
  {
    id: u32.map(deviceId),
    name: text.map((name) => name as DeviceName),
    kind: fc.constantFrom(...DEVICE_KINDS),
    origin: u32.map(deviceId),
    originName: text,
    size: u64,
    root: u32.map(nodeId),
    mapped: u64,
    transactionId: u64.map(transactionId),
    creationTime: u32.map(snapTime),
    snapTime: u32.map(snapTime),
    createdAt: u64,
    filesystem: fc.constantFrom(...FILESYSTEMS),
    filesystemSize: u64,
    initialized: fc.boolean(),
    deleted: fc.boolean(),
    family: u32.map(deviceId),
    exclusive: u64,
    label: fc.oneof(
      text,
      fc.integer({ min: 100, max: 9000 }).map((length) => 'ä'.repeat(length)),
    ),
    quota: fc.oneof(fc.constant(0), u64),
    limit: fc.oneof(fc.constant(0), u64),
    maker: fc.oneof(fc.constant(''), text),
    content: fc.constantFrom(...CONTENTS),
    automount: fc.option(
      fc.record(
        { target: text, readOnly: fc.boolean(), options: text, allowOther: fc.boolean() },
        { noNullPrototype: true },
      ),
      { nil: undefined },
    ),
    labels: fc.dictionary(text, text, { maxKeys: 5, noNullPrototype: true }),
  },
  { noNullPrototype: true },
);

export const anySuperblock: fc.Arbitrary<Superblock> = fc.record(
  {
    uuid: text,
    kind: fc.constantFrom('leveldb' as const, 'direct' as const),
    blockSize: fc.integer({ min: 1, max: 2 ** 22 }).map((sectors) => sectors * 512),
    chunks: fc.nat(MAX_CHUNKS),
    nodes: u32,
    time: u32.map(snapTime),
    transactionId: u64.map(transactionId),
    lastDeviceId: u32.map(deviceId),
    needsCheck: fc.boolean(),
    baseUuid: text,
    lastTransaction: fc.option(
      fc.record(
        { id: fc.integer({ min: 1 }).map(transactionId), device: u32.map(deviceId), name: text },
        { noNullPrototype: true },
      ),
      { nil: undefined },
    ),
  },
  { noNullPrototype: true },
);
