import assert from 'node:assert/strict';
import { medianTable, ratioTables, report, judgementTable, rounded } from '../../scripts/bench/table.js';
import { madeRun } from './made-run.js';

describe('bench: tables', () => {
  it('shows a median a cell, and tells a target without such a thing from one that failed or never ran', () => {
    const run = madeRun(
      { 'snap-write-16': { qsd: [100, 12_345, 20_000] } },
      {
        targets: ['qsd', 'plain', 'reflink', 'nbdfuse'],
        shortfalls: [
          { target: 'reflink', job: 'snap-write-16', reason: 'no room' },
          { target: 'nbdfuse', job: undefined, reason: 'not installed' },
        ],
      },
    );
    const row = medianTable(run).split('\n')[2] ?? '';
    const cells = row.split('|').map((cell) => cell.trim());
    assert.deepEqual(cells.slice(2, -1), ['IOPS', '12,345', '–', 'failed', 'n/a']);
    assert.match(report(run), /- `reflink`, snap-write-16: no room\n- `nbdfuse`: not installed/);
  });

  it('is Markdown with as many cells in every line', () => {
    const run = madeRun({ fsync: { 'thinfuse-direct': [1], qsd: [2] }, snapshot: { qsd: [3] } });
    const counts = medianTable(run)
      .split('\n')
      .map((line) => line.split('|').length);
    assert.deepEqual([...new Set(counts)], [6]);
  });

  it('sets our targets against all others, where both were measured', () => {
    const run = madeRun({
      fsync: { 'thinfuse-direct': [100], qsd: [50], plain: [200] },
      snapshot: { 'thinfuse-direct': [2], qsd: [10] },
      delete: { qsd: [1] },
    });
    const tables = ratioTables(run);
    assert.equal(tables.length, 1);
    assert.match(tables[0] ?? '', /fsync each, depth 1 +\| +2\.00× \| +0\.50× \|/);
    assert.match(tables[0] ?? '', /idle device +\| +5\.00× \| +– \|/);
    assert.doesNotMatch(tables[0] ?? '', /delete/);
  });

  it('warns of a machine that others kept busy', () => {
    const run = madeRun({});
    assert.doesNotMatch(report(run), /busy/);
    assert.match(report({ ...run, machine: { ...run.machine, load: 3.2 } }), /load average .* 3\.20/);
  });

  it('prints what repeats the run', () => {
    assert.match(report(madeRun({})), /`scripts\/bench\.sh --rounds 3`/);
  });

  it('answers yes, no, or not measured', () => {
    const verdict = { title: 'a', target: 'thinfuse-direct', wanted: '≥ 1×', unit: '×' as const };
    const text = judgementTable([
      { ...verdict, reached: 1.5, held: true },
      { ...verdict, reached: 0.5, held: false },
      { ...verdict, reached: undefined, held: undefined },
    ]);
    assert.match(text, /1\.50× \| +yes \|\n.*0\.50× \| +no \|\n.*not measured \| +\? \|/);
  });

  it('rounds to three digits at least', () => {
    assert.deepEqual([1.234, 45.67, 12_345.6, 0, -3.456].map(rounded), [
      '1.23',
      '45.7',
      '12,346',
      '0.00',
      '-3.46',
    ]);
  });
});
