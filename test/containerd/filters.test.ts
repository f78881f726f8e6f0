import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseFilters } from '../../src/containerd/filters.js';
import type { SnapshotRecord } from '../../src/containerd/snapshot-record.js';
import { ThinError } from '../../src/errors/thin-error.js';
import { snapshotRecord } from '../support/snapshot-values.js';

const SNAPSHOTS: readonly SnapshotRecord[] = [
  snapshotRecord({ key: 'p', kind: 'committed' }),
  snapshotRecord({ key: 'a', parent: 'p' }),
  snapshotRecord({ key: 'v', parent: 'p', kind: 'view' }),
  snapshotRecord({ key: 'default/7/sha256:ab.c', labels: { l: '1', 'containerd.io/gc.root': 'x y' } }),
];

function matches(...filters: string[]): string {
  return SNAPSHOTS.filter(parseFilters(filters))
    .map(({ key }) => key)
    .join(' ');
}

describe('filters of containerd', () => {
  const all = 'p a v default/7/sha256:ab.c';

  it('match everything where there are none, or an empty one', () => {
    assert.equal(matches(), all);
    assert.equal(matches('name==p', ''), all);
  });

  it('compare names, parents and kinds', () => {
    assert.equal(matches('name==a'), 'a');
    assert.equal(matches('name=="default/7/sha256:ab.c"'), 'default/7/sha256:ab.c');
    assert.equal(matches('name==default/7/sha256:ab.c'), 'default/7/sha256:ab.c');
    assert.equal(matches('parent==p'), 'a v');
    assert.equal(matches('parent!=""'), 'a v');
    assert.equal(matches('kind==active'), 'a default/7/sha256:ab.c');
    assert.equal(matches('kind != active'), 'p v');
  });

  it('find labels, quoted where their keys need it', () => {
    assert.equal(matches('labels.l'), 'default/7/sha256:ab.c');
    assert.equal(matches('labels.l==2'), '');
    assert.equal(matches('labels."containerd.io/gc.root"=="x y"'), 'default/7/sha256:ab.c');
    assert.equal(matches('labels.constructor'), '');
    assert.equal(matches('labels.l!=1'), 'p a v');
  });

  it('take a comma for and, several filters for or', () => {
    assert.equal(matches('parent==p,kind==view'), 'v');
    assert.equal(matches('name==p', 'name==v'), 'p v');
  });

  it('search with expressions of RE2', () => {
    assert.equal(matches('name~="^[av]$"'), 'a v');
    assert.equal(matches('name~=/sha256:\\/*/'), 'default/7/sha256:ab.c');
    assert.equal(matches('name~=|(?i)SHA256|'), 'default/7/sha256:ab.c');
  });

  it('know no other field', () => {
    assert.equal(matches('size'), '');
    assert.equal(matches('size!=1'), all);
  });

  it('understand the escapes of Go', () => {
    const odd = snapshotRecord({ key: 'a"b\n\u00e4\u{1f600}' });
    assert.equal(parseFilters(['name=="a\\"b\\n\\u00e4\\U0001f600"'])(odd), true);
    assert.equal(parseFilters(['name=="\\x61\\"b\\012\\u00e4\\U0001f600"'])(odd), true);
  });

  it('are refused where they make no sense, naming the place', () => {
    for (const [filter, place] of [
      ['name==', 7],
      ['name=a', 5],
      ['==a', 1],
      ['name==a,', 9],
      ['name==a b', 9],
      ['.name==a', 1],
      ['name=="a', 7],
      ['name=="\\q"', 8],
      ['name==/a/', 7],
      ['na-me==a', 3],
    ] as const)
      assert.throws(
        () => parseFilters([filter]),
        (error: unknown) =>
          error instanceof ThinError &&
          error.code === 'invalid-argument' &&
          error.message.includes(`at character ${place}:`),
        filter,
      );
    assert.throws(() => parseFilters(['name~="("']), {
      code: 'invalid-argument',
      message: /regular expression/,
    });
  });

  it('refuse nothing in another way, whatever they are', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'n a m e . = ! ~ " / | \\ , x 0 ('.split(' '), ' ', '\n') }),
        (text) => {
          try {
            SNAPSHOTS.filter(parseFilters([text]));
          } catch (error) {
            assert(error instanceof ThinError, String(error));
            assert.equal(error.code, 'invalid-argument');
          }
        },
      ),
    );
  });
});
