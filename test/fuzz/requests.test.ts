import fc from 'fast-check';
import { parseFilters } from '../../src/containerd/filters.js';
import { updatedLabels } from '../../src/containerd/messages.js';
import { packSnapshotRecord, unpackSnapshotRecord } from '../../src/containerd/snapshot-record.js';
import {
  isOperationName,
  isTextOperationName,
  parseInput,
  parseTextInput,
  schemas,
} from '../../src/daemon/schemas.js';
import { decodeLines } from '../../src/api/text-lines.js';
import { unpackError } from '../../src/api/wire.js';
import { THIN_ERROR_CODES } from '../../src/errors/thin-error.js';
import { BufferPool } from '../../src/fuse/buffer-pool.js';
import { KernelFilesystem } from '../../src/fuse/kernel-filesystem.js';
import { Opcode } from '../../src/fuse/kernel-protocol.js';
import { request } from '../support/fuse-request.js';
import { FUZZ_RUNS, onlyFails, onlyRejects, spoilt, spoiltText } from '../support/fuzzing.js';
import { MemoryDirectory } from '../../src/testing/memory-image.js';
import { snapshotRecord } from '../support/snapshot-values.js';

const MAX_IO = 65536;
const OPERATIONS = [
  ...Object.keys(schemas),
  'metadata.dump',
  'metadata.delta',
  'metadata.rmap',
  'pool.scrub',
];
const GOOD_INPUTS = [
  { name: 'web', size: 65536, kind: 'container', origin: 'base' },
  { name: 'web', target: '/mnt', readOnly: true },
  { name: 'web', holder: 77 },
  { from: 1, to: 2, snapshot: 'newest' },
  { format: 'xml', device: '1', regions: [{ begin: 0, end: 5 }], left: 'a', right: 'b' },
];

describe('fuzz: what others send', function () {
  this.timeout(0);

  it('the kernel gets an answer to every message, whatever is in it', async () => {
    const directory = new MemoryDirectory();
    directory.add('a', 16 * MAX_IO);
    const filesystem = new KernelFilesystem(directory, {
      maxIo: MAX_IO,
      buffers: new BufferPool(MAX_IO + 4096, 4),
      onFault: () => undefined,
    });
    await filesystem.serve(request(Opcode.LOOKUP, {}, Buffer.from('a\0')));
    const message = fc
      .record({
        opcode: fc.oneof(fc.constantFrom(...Object.values(Opcode)), fc.nat(5000)),
        nodeId: fc.constantFrom(0, 1, 2, 3, 77),
        body: fc.oneof(
          // 64-bit words: handles, offsets, lengths.
          fc
            .array(fc.constantFrom(0n, 1n, 2n, 4096n, 65536n, 2n ** 31n, 2n ** 53n, 2n ** 64n - 1n), {
              maxLength: 8,
            })
            .map((words) => {
              const bytes = Buffer.alloc(words.length * 8);
              words.forEach((word, at) => bytes.writeBigUInt64LE(word, at * 8));
              return bytes;
            }),
          fc.uint8Array({ maxLength: 200 }),
        ),
      })
      .map(({ opcode, nodeId, body }) => request(opcode, { nodeId }, body) as Uint8Array);
    await fc.assert(
      fc.asyncProperty(message, async (bytes) => {
        const reply = await filesystem.serve(Buffer.from(bytes));
        if (reply !== undefined && reply.readInt32LE(0) !== reply.length)
          throw new Error('a reply of another length');
      }),
      { numRuns: FUZZ_RUNS },
    );
    filesystem.close();
  });

  it('an operation’s input is as its schema says, or an invalid argument', () => {
    const input = fc.oneof(
      fc.constantFrom(...GOOD_INPUTS),
      fc.jsonValue(),
      fc.dictionary(
        fc.constantFrom(
          'name',
          'size',
          'kind',
          'origin',
          'from',
          'to',
          'holder',
          'regions',
          '__proto__',
          'constructor',
        ),
        fc.anything(),
      ),
    );
    fc.assert(
      fc.property(fc.oneof(fc.constantFrom(...OPERATIONS), fc.string()), input, (name, value) => {
        if (isTextOperationName(name)) onlyFails(['invalid-argument'], () => parseTextInput(name, value));
        else if (isOperationName(name)) onlyFails(['invalid-argument'], () => parseInput(name, value));
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  it('an answer is text, the other side’s error, or not understood', () =>
    fc.assert(
      fc.asyncProperty(
        spoilt(
          fc
            .constantFrom(
              '{"text":"a"}\n{"text":"ü"}\n{"end":true}\n',
              '{"error":{"code":"busy","message":"m","details":{}}}\n',
            )
            .map((text) => Buffer.from(text)),
        ),
        fc.integer({ min: 1, max: 9 }),
        async (bytes, size) => {
          async function* pieces(): AsyncGenerator<Uint8Array> {
            for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
          }
          await onlyRejects(THIN_ERROR_CODES, async () => {
            for await (const text of decodeLines(pieces()))
              if (typeof text !== 'string') throw new Error('no text');
          });
        },
      ),
      { numRuns: FUZZ_RUNS },
    ));

  it('an error over the wire is always an error of ours', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.jsonValue(),
          fc.record({
            error: fc.record({
              code: fc.constantFrom(...THIN_ERROR_CODES, 'x'),
              message: fc.string(),
              details: fc.jsonValue(),
            }),
          }),
        ),
        (body) => {
          unpackError(body);
        },
      ),
      { numRuns: FUZZ_RUNS },
    );
  });

  it('what a device keeps for containerd is a record, nothing, or damaged', () => {
    const label = fc
      .record({ key: fc.string(), labels: fc.dictionary(fc.string(), fc.string(), { maxKeys: 4 }) })
      .map((values) => packSnapshotRecord(snapshotRecord(values)));
    fc.assert(
      fc.property(spoiltText(label), (text) => {
        onlyFails(['damaged'], () => unpackSnapshotRecord(text, 'web'));
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  it('a filter of containerd is one, or an invalid argument', () => {
    const piece = fc.constantFrom(
      'name',
      'labels',
      'kind',
      '.',
      '"a b"',
      '==',
      '!=',
      '~=',
      ',',
      ' ',
      '/x/',
      '|(a+)+$|',
      '\\',
      '"',
      '[',
      '(?:',
    );
    const filter = fc.oneof(
      fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
      fc.string({ unit: 'binary' }),
    );
    fc.assert(
      fc.property(fc.array(filter, { maxLength: 3 }), (filters) => {
        onlyFails(['invalid-argument'], () =>
          parseFilters(filters)(snapshotRecord({ key: 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!' })),
        );
      }),
      { numRuns: FUZZ_RUNS },
    );
  });

  it('labels change as they are told to, or not at all', () => {
    const labels = fc.dictionary(
      fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor')),
      fc.string(),
    );
    fc.assert(
      fc.property(
        labels,
        labels,
        fc.array(spoiltText(fc.constantFrom('labels', 'labels.a', 'labels.__proto__'))),
        (has, given, paths) => {
          onlyFails(['invalid-argument'], () => updatedLabels(has, given, paths));
        },
      ),
      { numRuns: FUZZ_RUNS },
    );
  });
});
