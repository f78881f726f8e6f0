import assert from 'node:assert/strict';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import { nodeId } from '../../src/format/ids.js';
import { FULL_NODE, packNode, TreeNode, unpackNode, type NodeLimits } from '../../src/format/node.js';
import { seal, unseal } from '../../src/format/seal.js';

const U32 = 2 ** 32 - 1;
const ID = nodeId(17);

function nodeOf(
  level: number,
  entries: readonly (readonly [number, number, number])[],
  limits = FULL_NODE,
): TreeNode {
  const node = new TreeNode(ID, level, limits);
  for (const [key, a, b] of entries) node.insertAt(node.count, key, a, b);
  return node;
}

function entriesOf(node: TreeNode): [number, number, number][] {
  return Array.from({ length: node.count }, (_, i) => [node.keys[i]!, node.a[i]!, node.b[i] ?? 0]);
}

const u32 = fc.nat({ max: U32 });
/** Nodes of both shapes with any contents; an internal one has an entry at least. */
const anyNode = fc
  .tuple(
    fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 32 })),
    fc.uniqueArray(u32, { minLength: 1, maxLength: FULL_NODE.leaf, size: 'max' }),
    u32,
  )
  .map(([level, keys, value]) =>
    nodeOf(
      level,
      keys.sort((x, y) => x - y).map((key) => [key, (key ^ value) >>> 0, (value - key) >>> 0] as const),
    ),
  );

const unpack = (body: Uint8Array, limits: NodeLimits = FULL_NODE): TreeNode =>
  unpackNode(ID, body, limits, 'node 17');
const damaged = (problem: RegExp) => (error: unknown) => {
  assert.ok(error instanceof ThinError, String(error));
  assert.equal(error.code, 'damaged');
  assert.match(error.message, problem);
  assert.match(error.message, /^node 17 is damaged: .*thinfuse check/);
  return true;
};

describe('tree node', () => {
  it('fits 4096 sealed bytes when it is full, and not one entry more would', () => {
    for (const [level, capacity, entry] of [
      [0, 339, 12],
      [1, 509, 8],
    ] as const) {
      const full = nodeOf(
        level,
        Array.from({ length: capacity }, (_, i) => [i, i, i]),
      );
      assert.equal(full.count, full.capacity);
      const bytes = seal('node', ID, packNode(full)).length;
      assert.ok(bytes <= 4096 && bytes + entry > 4096, String(bytes));
    }
  });

  it('is packed as the format page says', () => {
    const leaf = nodeOf(0, [
      [1, 0x01020304, 9],
      [U32, 2, 8],
    ]);
    assert.equal(
      Buffer.from(packNode(leaf)).toString('hex'),
      '0000020000000000' + '01000000ffffffff' + '0403020102000000' + '0900000008000000',
    );
    const internal = nodeOf(3, [
      [0, 7, 0],
      [5, 6, 0],
    ]);
    assert.equal(
      Buffer.from(packNode(internal)).toString('hex'),
      '0300020000000000' + '0000000005000000' + '0700000006000000',
    );
  });

  it('comes back as it was', () => {
    fc.assert(
      fc.property(anyNode, fc.nat(9), (node, before) => {
        const packed = packNode(node);
        const moved = Buffer.concat([Buffer.alloc(before, 255), packed, Buffer.alloc(3, 255)]);
        const back = unpack(moved.subarray(before, before + packed.length));
        assert.deepEqual([back.id, back.level, back.count], [node.id, node.level, node.count]);
        assert.deepEqual(entriesOf(back), entriesOf(node));
      }),
    );
    assert.equal(unpack(packNode(nodeOf(0, []))).count, 0);
  });

  it('is packed without what was taken out of it', () => {
    const node = nodeOf(0, [
      [1, 1, 1],
      [2, 2, 2],
      [3, 3, 3],
    ]);
    node.removeAt(1);
    assert.deepEqual(entriesOf(unpack(packNode(node))), [
      [1, 1, 1],
      [3, 3, 3],
    ]);
  });

  it('shows any wrong bit once it is sealed', function () {
    this.timeout(120_000);
    for (const level of [0, 1]) {
      const node = nodeOf(
        level,
        Array.from({ length: 60 }, (_, i) => [i * 5, i, i]),
      );
      const bytes = seal('node', ID, packNode(node));
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        bytes[bit >>> 3]! ^= 1 << (bit & 7);
        assert.throws(() => unpack(unseal('node', ID, bytes, 'node 17')), damaged(/checksum/));
        bytes[bit >>> 3]! ^= 1 << (bit & 7);
      }
      assert.deepEqual(entriesOf(unpack(unseal('node', ID, bytes, 'node 17'))), entriesOf(node));
    }
  });

  describe('refuses', () => {
    const good = (): Buffer =>
      Buffer.from(
        packNode(
          nodeOf(0, [
            [1, 1, 1],
            [2, 2, 2],
            [9, 3, 3],
          ]),
        ),
      );
    const cases: Record<string, [(body: Buffer) => Buffer | undefined, RegExp]> = {
      'no bytes': [() => Buffer.alloc(0), /cut off at 0/],
      'half a header': [(body) => body.subarray(0, 7), /cut off at 7/],
      'less than its entries': [(body) => body.subarray(0, -1), /3 entries do not fill 43/],
      'more than its entries': [(body) => Buffer.concat([body, Buffer.alloc(4)]), /3 entries do not fill 48/],
      'the entries of a leaf in an internal node': [(body) => void body.writeUInt8(1, 0), /do not fill/],
      'a level that no tree has': [(body) => void body.writeUInt8(33, 0), /level 33/],
      'a meaningless byte': [(body) => void body.writeUInt8(1, 1), /unknown bits/],
      'a meaningless word': [(body) => void body.writeUInt32LE(1, 4), /unknown bits/],
      'more entries than fit': [
        (body) => void body.writeUInt16LE(340, 2),
        /340 entries are more than the 339/,
      ],
      'equal keys': [(body) => void body.writeUInt32LE(2, 8), /key 1 is out of order/],
      'descending keys': [(body) => void body.writeUInt32LE(2, 16), /key 2 is out of order/],
      'an internal node without a child': [() => Buffer.from('0100000000000000', 'hex'), /without a child/],
    };
    for (const [name, [change, problem]] of Object.entries(cases))
      it(name, () => {
        const body = good();
        assert.throws(() => unpack(change(body) ?? body), damaged(problem));
      });

    it('entries beyond smaller limits', () => {
      const body = packNode(
        nodeOf(
          0,
          [1, 2, 3, 4, 5].map((key) => [key, 0, 0]),
        ),
      );
      assert.throws(() => unpack(body, { leaf: 4, internal: 4 }), damaged(/5 entries are more than the 4/));
    });
  });

  it('takes any bytes without another failure', () => {
    const onlyDamaged = (bytes: Uint8Array): void => {
      try {
        // What passes is a node like any other.
        assert.deepEqual(Buffer.from(packNode(unpack(bytes))), Buffer.from(bytes));
      } catch (error) {
        damaged(/./)(error);
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 5000, size: 'max' }), onlyDamaged));
    fc.assert(
      fc.property(
        anyNode,
        fc.array(fc.tuple(fc.nat(4096), fc.nat(255)), { maxLength: 4 }),
        (node, changes) => {
          const bytes = packNode(node);
          for (const [at, value] of changes) bytes[at % bytes.length] = value;
          onlyDamaged(bytes);
        },
      ),
    );
  });

  it('is no smaller than a tree can be built of', () => {
    for (const limits of [
      { leaf: 3, internal: 4 },
      { leaf: 4, internal: 3 },
    ])
      assert.throws(() => new TreeNode(ID, limits.leaf === 3 ? 0 : 1, limits), { name: 'AssertionError' });
  });

  describe('in memory', () => {
    it('finds the last key at or below another', () => {
      fc.assert(
        fc.property(anyNode, u32, (node, key) => {
          const keys = entriesOf(node).map(([each]) => each);
          assert.equal(
            node.floor(key),
            keys.findLastIndex((each) => each <= key),
          );
          for (const [i, each] of keys.entries()) assert.equal(node.floor(each), i);
        }),
      );
    });

    it('moves entries between nodes as splice does between arrays', () => {
      fc.assert(
        fc.property(
          fc.constantFrom(0, 1),
          fc.nat(30),
          fc.nat(30),
          fc.nat(),
          fc.nat(),
          fc.nat(),
          (level, m, n, x, y, z) => {
            const make = (from: number, count: number) =>
              nodeOf(
                level,
                Array.from({ length: count }, (_, i) => [from + i, i, level === 0 ? i * 3 : 0]),
              );
            const [to, from] = [make(0, m), make(100, n)];
            const [mine, theirs] = [entriesOf(to), entriesOf(from)];
            const start = x % (n + 1);
            const length = y % (n - start + 1);
            const at = z % (m + 1);
            to.takeFrom(from, start, length, at);
            mine.splice(at, 0, ...theirs.splice(start, length));
            assert.deepEqual(entriesOf(to), mine);
            assert.deepEqual(entriesOf(from), theirs);
          },
        ),
      );
    });

    it('copies contents, not identity', () => {
      const from = nodeOf(0, [[1, 2, 3]]);
      const copy = new TreeNode(nodeId(18), 0, FULL_NODE);
      copy.copyContents(from);
      copy.a[0] = 9;
      assert.equal(copy.id, 18);
      assert.deepEqual(entriesOf(from), [[1, 2, 3]]);
    });
  });
});
