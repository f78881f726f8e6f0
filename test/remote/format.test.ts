import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { IMAGE_BLOCK } from '../../src/format/remote-image.js';
import { BlockCodec } from '../../src/remote/block-codec.js';
import { BlockSeal, parseKey } from '../../src/remote/block-seal.js';
import { digestOf, type Digest } from '../../src/remote/digest.js';
import { packSegment, unpackSegment, type BlockPlace } from '../../src/remote/index-segment.js';
import { packManifest, unpackManifest } from '../../src/remote/manifest.js';
import { PACK_HEAD, PackWriter, unpackPack } from '../../src/remote/pack.js';
import { parseRemoteUrl } from '../../src/remote/remote-url.js';
import { FUZZ_RUNS, onlyFails, spoilt } from '../support/fuzzing.js';

const FAILURES = ['damaged', 'wrong-version', 'permission'] as const;
const PLAIN = new BlockSeal(undefined);
const digest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => digestOf(bytes));
const salt = fc.uint8Array({ minLength: 16, maxLength: 16 });
const place: fc.Arbitrary<BlockPlace> = fc.record(
  {
    name: digest,
    pack: digest,
    offset: fc.integer({ min: PACK_HEAD, max: 2 ** 20 }),
    length: fc.integer({ min: 1, max: 65_000 }),
  },
  { noNullPrototype: true },
);
const segment = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 16_383 }), place), {
    maxLength: 30,
    selector: ([block]) => block,
  })
  .map((entries) => new Map(entries.sort(([x], [y]) => x - y)));
const blocks = fc.array(fc.tuple(digest, fc.uint8Array({ minLength: 1, maxLength: 200 })), { maxLength: 20 });

function manifestOf(packs: readonly Digest[], seal: BlockSeal): Uint8Array {
  return packManifest(
    {
      salt: '00'.repeat(16),
      createdAt: 5,
      parent: null,
      device: {
        name: 'web',
        size: 2 ** 31,
        kind: 'image',
        filesystem: 'xfs',
        label: '',
        quota: 0,
        lineage: ['base'],
      },
      indexes: [
        {
          digest: digestOf(Buffer.from('i')),
          size: 10,
          segment: 1,
          blocks: 3,
          packs: packs.map((_, at) => at),
        },
      ],
      packs: packs.map((pack) => ({ digest: pack, size: 100 })),
      start: null,
    },
    seal,
  );
}

for (const seal of [PLAIN, new BlockSeal(randomBytes(32))])
  describe(`the format of images in a store${seal.isEncrypting ? ', encrypted' : ''}`, () => {
    it('packs and unpacks indexes', () => {
      fc.assert(
        fc.property(segment, salt, (entries, random) => {
          assert.deepEqual(unpackSegment(packSegment(entries, random, seal), seal, 'index'), entries);
        }),
        { numRuns: 50 },
      );
    });

    it('packs and unpacks packs', () => {
      fc.assert(
        fc.property(blocks, salt, (entries, random) => {
          const writer = new PackWriter(random, seal);
          for (const [name, bytes] of entries) writer.add(name, bytes);
          const pack = writer.finish();
          const found = unpackPack(pack, seal, 'pack');
          assert.deepEqual(found, writer.blocks);
          for (const [index, { offset, length }] of found.entries())
            assert.deepEqual(pack.subarray(offset, offset + length), Buffer.from(entries[index]![1]));
        }),
        { numRuns: 50 },
      );
    });

    it('packs and unpacks manifests', () => {
      fc.assert(
        fc.property(fc.array(digest, { maxLength: 5 }), (packs) => {
          const manifest = unpackManifest(manifestOf(packs, seal), seal, 'image');
          assert.deepEqual(
            manifest.packs.map((pack) => pack.digest),
            packs,
          );
          assert.equal(manifest.device.name, 'web');
        }),
        { numRuns: 50 },
      );
    });

    it('fails in known ways only, whatever there is', () => {
      const index = fc.tuple(segment, salt).map(([entries, random]) => packSegment(entries, random, seal));
      const pack = fc.tuple(blocks, salt).map(([entries, random]) => {
        const writer = new PackWriter(random, seal);
        for (const [name, bytes] of entries) writer.add(name, bytes);
        return writer.finish();
      });
      const manifest = fc.array(digest, { maxLength: 5 }).map((packs) => manifestOf(packs, seal));
      const readers = [
        [index, unpackSegment],
        [pack, unpackPack],
        [manifest, unpackManifest],
      ] as const;
      for (const [good, unpack] of readers)
        fc.assert(
          fc.property(spoilt(good), (bytes) => {
            onlyFails(FAILURES, () => unpack(bytes, seal, 'it') as unknown);
          }),
          { numRuns: FUZZ_RUNS },
        );
    });

    it('gives back the block of a name and no other', async () => {
      await BlockCodec.ready();
      const codec = new BlockCodec(seal);
      for (const block of [randomBytes(IMAGE_BLOCK), Buffer.alloc(IMAGE_BLOCK, 'text')]) {
        const name = codec.nameOf(block);
        const stored = codec.encode(block, name);
        assert.deepEqual(Buffer.from(codec.decode(stored, name, 'pack')), block);
        const other = codec.nameOf(Buffer.alloc(IMAGE_BLOCK, 1));
        assert.throws(() => codec.decode(stored, other, 'pack'), { code: 'damaged' });
        fc.assert(
          fc.property(spoilt(fc.constant(stored)), (bytes) => {
            const read = onlyFails(FAILURES, () => codec.decode(bytes, name, 'pack'));
            assert.ok(read === undefined || block.equals(read));
          }),
          { numRuns: FUZZ_RUNS },
        );
      }
    });
  });

describe('names of stores', () => {
  it('are read as people write them', () => {
    const cases: readonly [string, string, unknown][] = [
      ['s3://bucket', 's3://bucket', undefined],
      ['s3://bucket/a/b/', 's3://bucket/a/b', undefined],
      ['s3://bucket/a:v1', 's3://bucket/a', { kind: 'tag', tag: 'v1' }],
      ['oci://host:5000/a/b', 'oci://host:5000/a/b', undefined],
      ['oci://host:5000/a/b:latest', 'oci://host:5000/a/b', { kind: 'tag', tag: 'latest' }],
      [`oci://h/a@sha256:${'a'.repeat(64)}`, 'oci://h/a', { kind: 'digest', digest: 'a'.repeat(64) }],
    ];
    for (const [text, url, name] of cases) {
      const parsed = parseRemoteUrl(text);
      assert.equal(parsed.place.url, url);
      assert.deepEqual(parsed.name, name);
    }
  });

  it('are refused where they are none', () => {
    for (const text of [
      '',
      'bucket',
      'http://a/b',
      's3://',
      's3://A/b',
      's3://bucket/../x',
      's3://bucket/a:',
      's3://bucket/a:-x',
      's3://key:secret@bucket/a',
      'oci://host',
      'oci://host/A',
      'oci://host/a@sha256:12',
      's3://bucket/a:thinfuse-note-push-1',
    ])
      assert.throws(() => parseRemoteUrl(text), { code: 'invalid-argument' }, text);
  });

  it('have keys of 32 bytes', () => {
    const key = randomBytes(32);
    assert.deepEqual(Buffer.from(parseKey(key, 'file')), key);
    assert.deepEqual(Buffer.from(parseKey(Buffer.from(`${key.toString('hex')}\n`), 'file')), key);
    assert.throws(() => parseKey(Buffer.from('short'), 'file'), { code: 'invalid-argument' });
  });
});
