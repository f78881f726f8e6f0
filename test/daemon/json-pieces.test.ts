import assert from 'node:assert/strict';
import fc from 'fast-check';
import { isLong, jsonPieces, textPieces } from '../../src/daemon/json-pieces.js';

async function whole(value: unknown): Promise<{ text: string; longest: number }> {
  const pieces: string[] = [];
  for await (const piece of jsonPieces(value)) pieces.push(piece);
  return { text: pieces.join(''), longest: Math.max(...pieces.map(({ length }) => length)) };
}

describe('JSON in pieces', () => {
  it('means what JSON.stringify makes', async () => {
    const field = fc.oneof(
      fc.array(fc.jsonValue(), { maxLength: 20 }),
      fc.jsonValue(),
      fc.constant(undefined),
      fc.array(fc.record({ name: fc.string() }), { minLength: 120, maxLength: 300 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string(), field), async (value) => {
        assert.deepEqual(JSON.parse((await whole(value)).text), JSON.parse(JSON.stringify(value)));
      }),
      { numRuns: 50 },
    );
  });

  it('are short, whatever the answer’s length', async () => {
    const devices = Array.from({ length: 5000 }, (_, id) => ({
      id,
      name: `device-${id}`,
      label: 'x'.repeat(100),
    }));
    assert.ok(isLong(devices));
    const listed = await whole(devices);
    assert.deepEqual(JSON.parse(listed.text), devices);
    assert.ok(listed.longest < 32 * 1024, `${listed.longest} characters at once`);
    // Characters of two units, cut in the middle.
    const text = `a${'\u{1f600}'.repeat(100_000)}`;
    const told = await whole({ text, none: undefined });
    assert.deepEqual(JSON.parse(told.text), { text });
    assert.ok(told.longest < 512 * 1024);
  });

  it('are for long answers only', () => {
    for (const value of [undefined, null, 1, 'text', {}, [], { devices: { total: 1 } }, [1, 2]])
      assert.equal(isLong(value), false);
  });

  it('and plain text in pieces are the text again, each as bytes of its own', async () => {
    for (const text of ['', 'short', 'é😀'.repeat(100_000), `${'x'.repeat(65_535)}😀😀`]) {
      const pieces: Buffer[] = [];
      for await (const piece of textPieces(text)) pieces.push(Buffer.from(piece));
      assert.equal(Buffer.concat(pieces).toString(), text);
      for (const { length } of pieces) assert.ok(length <= 4 * 65_537);
    }
  });
});
