import fc from 'fast-check';
import { packDataLabel, unpackDataLabel } from '../../src/format/data-label.js';
import { parseDeviceName } from '../../src/format/device-name.js';
import { packDeviceRecord, unpackDeviceRecord } from '../../src/format/device-record.js';
import { chunkId, deviceId, nodeId } from '../../src/format/ids.js';
import { chunkKey, deviceKey, describeKey, nodeKey, optionsKey, unpackKey } from '../../src/format/keys.js';
import {
  packHeldPiece,
  packMetadataSnapshot,
  unpackHeldPiece,
  unpackMetadataSnapshot,
} from '../../src/format/metadata-snapshot.js';
import { FULL_NODE, packNode, TreeNode, unpackNode } from '../../src/format/node.js';
import { packPendingDelete, unpackPendingDelete } from '../../src/format/pending-delete.js';
import { unsealChunk, seal, SEAL_BYTES, sealChunk, unseal } from '../../src/format/seal.js';
import {
  ENTRIES_PER_SHEET,
  packSpaceMapSheet,
  unpackSpaceMapSheet,
} from '../../src/format/space-map-sheet.js';
import { packSuperblock, unpackSuperblock } from '../../src/format/superblock.js';
import { optionsOwner } from '../../src/metadata/agreement.js';
import { packOptions, readOptions } from '../../src/pool/options-record.js';
import { anyDevice, anySuperblock, u32 } from '../support/arbitrary-records.js';
import { FUZZ_RUNS, onlyFails, onlyRejects, spoilt, spoiltText } from '../support/fuzzing.js';
import { MemoryStore } from '../support/memory-store.js';
import { packOldSnapshot } from '../support/old-snapshot.js';
import { TEST_OPTIONS } from '../support/small-pool.js';

const anyNode = fc.tuple(fc.nat(3), fc.uniqueArray(u32, { maxLength: 60 })).map(([level, keys]) => {
  const node = new TreeNode(nodeId(7), level, FULL_NODE);
  for (const [at, key] of keys.toSorted((x, y) => x - y).entries()) node.insertAt(at, key, at * 3, at % 4);
  return packNode(node);
});
const anySheet = fc
  .dictionary(fc.nat(ENTRIES_PER_SHEET - 1).map(String), fc.integer({ min: 1, max: 9 }), { maxKeys: 40 })
  .map((counts) => packSpaceMapSheet((index) => counts[String(index)] ?? 0));
const anyPending = fc
  .tuple(fc.string({ maxLength: 20 }), fc.array(u32, { maxLength: 20 }))
  .map(([name, stack]) => packPendingDelete({ id: deviceId(4), name, stack: stack.map(nodeId) }));
const anySnapshot = fc
  .tuple(anySuperblock, u32, fc.boolean())
  .map(([superblock, devices, isWhole]) =>
    packMetadataSnapshot({ id: 5, createdAt: 77, superblock, devices, isWhole }, { first: 3, count: 9 }),
  );
const anyPiece = fc.array(anyDevice, { maxLength: 3 }).map((devices) => packHeldPiece(5, devices));
const anyOldSnapshot = fc
  .tuple(anySuperblock, fc.array(anyDevice, { maxLength: 3 }))
  .map(([superblock, devices]) => packOldSnapshot(77, superblock, devices));
const anyLabel = fc
  .record({
    uuid: fc.string(),
    blockSize: u32,
    chunks: u32,
    preallocated: fc.boolean(),
    start: fc.constantFrom(0, 2 ** 20),
    last: fc.maxSafeNat(),
    maker: fc.string(),
  })
  .map(packDataLabel);
const CHUNK = 4096;
const anyChunk = fc.uint8Array({ minLength: CHUNK, maxLength: CHUNK }).map((data) => {
  const frame = new Uint8Array(CHUNK + SEAL_BYTES);
  frame.set(data);
  sealChunk(frame, chunkId(9));
  return frame;
});

/** Bodies are fuzzed behind the seal's back, which would find nearly all of it first. */
const DECODERS: readonly (readonly [string, fc.Arbitrary<Uint8Array>, (bytes: Uint8Array) => unknown])[] = [
  ['superblock', anySuperblock.map(packSuperblock), (bytes) => unpackSuperblock(bytes, 'here')],
  [
    'device record',
    anyDevice.map(packDeviceRecord),
    (bytes) => unpackDeviceRecord(deviceId(1), bytes, 'here'),
  ],
  ['node', anyNode, (bytes) => unpackNode(nodeId(7), bytes, FULL_NODE, 'here')],
  ['sheet of a space map', anySheet, (bytes) => unpackSpaceMapSheet(bytes, 'here', () => undefined)],
  ['pending delete', anyPending, (bytes) => unpackPendingDelete(deviceId(4), bytes, 'here')],
  ['metadata snapshot', anySnapshot, (bytes) => unpackMetadataSnapshot(5, bytes, 'here')],
  [
    'metadata snapshot of version 1',
    anyOldSnapshot,
    (bytes) => [...unpackMetadataSnapshot(5, bytes, 'here', 1).records],
  ],
  ['piece of a metadata snapshot', anyPiece, (bytes) => unpackHeldPiece(bytes, 'here')],
  ['data label', anyLabel, (bytes) => unpackDataLabel(bytes, 'here')],
  ['seal', anyNode.map((body) => seal('node', 7, body)), (bytes) => unseal('node', 7, bytes, 'here')],
  ['chunk', anyChunk, (bytes) => unsealChunk(bytes, chunkId(9), 'here')],
];

describe('fuzz: stored values', function () {
  this.timeout(0);

  for (const [what, good, decode] of DECODERS)
    it(`a ${what} is read, or refused as damaged`, () => {
      fc.assert(
        fc.property(spoilt(good), (bytes) => {
          onlyFails(['damaged', 'wrong-version'], () => decode(bytes));
        }),
        { numRuns: FUZZ_RUNS },
      );
    });

  it('the options record is, whatever stands in it', () =>
    fc.assert(
      fc.asyncProperty(
        fc.oneof(spoiltText(fc.constant(JSON.stringify({ ...TEST_OPTIONS, pool: 'one' }))), fc.json()),
        async (text) => {
          const store = new MemoryStore();
          const value = seal('options', 0, Buffer.from(text));
          await store.batch([{ type: 'put', key: optionsKey, value }], { sync: false });
          await onlyRejects(['damaged'], async () => readOptions(store));
          await onlyRejects(['damaged'], async () => optionsOwner(store));
        },
      ),
      { numRuns: FUZZ_RUNS },
    ));

  it('options come back, whosever they are', async () => {
    const store = new MemoryStore();
    await store.batch([packOptions(TEST_OPTIONS, 'me')], { sync: false });
    if (optionsOwner(store) !== 'me' || readOptions(store).baseSize !== TEST_OPTIONS.baseSize)
      throw new Error('the options are not what they were');
  });

  it('keys have a number or none, and always a name', () => {
    const key = fc.oneof(
      spoilt(fc.constantFrom(nodeKey(nodeId(1)), chunkKey(chunkId(2)), deviceKey(deviceId(3)))),
      fc.uint8Array({ maxLength: 8 }),
    );
    fc.assert(
      fc.property(key, (bytes) => {
        for (const kind of ['node', 'chunk', 'device'] as const) unpackKey(kind, bytes);
        if (describeKey(bytes) === '') throw new Error('a key without a name');
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  it('a device name is one, or an invalid argument', () => {
    fc.assert(
      fc.property(spoiltText(fc.constantFrom('web', 'a-b_c.d', 'x'.repeat(128))), (text) => {
        const name = onlyFails(['invalid-argument'], () => parseDeviceName(text));
        if (name !== undefined && (/[/\0]/.test(name) || name === '.' || name === '..' || name === ''))
          throw new Error(`${JSON.stringify(name)} can leave its folder`);
      }),
      { numRuns: FUZZ_RUNS },
    );
  });
});
