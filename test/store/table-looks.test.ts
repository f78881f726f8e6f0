import assert from 'node:assert/strict';
import { TableLooks, type FileState } from '../../src/store/table-looks.js';

const WRITTEN: FileState = { ino: 7n, size: 4096n, mtimeNs: 1000n, ctimeNs: 1000n };

describe('a look at a table', () => {
  let now: number;
  let looks: TableLooks;

  beforeEach(() => {
    now = 1000;
    looks = new TableLooks(() => now);
    looks.noteWell(3, WRITTEN, now);
  });

  it('counts for half a minute', () => {
    assert.equal(looks.isFresh(3, WRITTEN), true);
    now += 29_999;
    assert.equal(looks.isFresh(3, WRITTEN), true);
    now += 1;
    assert.equal(looks.isFresh(3, WRITTEN), false);
  });

  it('counts from when it began', () => {
    looks.noteWell(4, WRITTEN, now - 30_000);
    assert.equal(looks.isFresh(4, WRITTEN), false);
  });

  it('counts for that table alone', () => {
    assert.equal(looks.isFresh(4, WRITTEN), false);
  });

  for (const field of ['ino', 'size', 'mtimeNs', 'ctimeNs'] as const)
    it(`counts no more when the file has another ${field}`, () => {
      assert.equal(looks.isFresh(3, { ...WRITTEN, [field]: 5n }), false);
    });

  it('is forgotten with the table', () => {
    looks.noteWell(4, WRITTEN, now);
    looks.keep(new Set([4]));
    assert.equal(looks.isFresh(3, WRITTEN), false);
    assert.equal(looks.isFresh(4, WRITTEN), true);
  });
});
