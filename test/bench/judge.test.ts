import assert from 'node:assert/strict';
import { judge, type Verdict } from '../../scripts/bench/judge.js';
import { madeRun } from './made-run.js';

function verdicts(run: Parameters<typeof judge>[0], target: string, wanted: string): readonly Verdict[] {
  return judge(run).filter((verdict) => verdict.target === target && verdict.wanted === wanted);
}

describe('bench: judgement', () => {
  it('compares medians, and a figure just reached is held', () => {
    const run = madeRun({ 'rand-read-16': { 'thinfuse-direct': [1, 300, 900], qsd: [100, 100, 100] } });
    const [verdict] = verdicts(run, 'thinfuse-direct', '≥ 3× qsd');
    assert.equal(verdict?.reached, 3);
    assert.equal(verdict.held, true);
  });

  it('says no to one that is short', () => {
    const run = madeRun({ fsync: { 'thinfuse-leveldb': [69], plain: [100] } });
    const [verdict] = verdicts(run, 'thinfuse-leveldb', '≥ 0.7× plain');
    assert.equal(verdict?.reached, 0.69);
    assert.equal(verdict.held, false);
  });

  it('judges nothing where one side is missing', () => {
    const run = madeRun({ fsync: { 'thinfuse-leveldb': [49] } });
    for (const verdict of judge(run)) {
      assert.equal(verdict.held, undefined);
      assert.equal(verdict.reached, undefined);
    }
  });

  it('takes the mount of a plain file off create + mount', () => {
    const run = madeRun({ 'create-mount': { 'thinfuse-direct': [90], plain: [20] } });
    const [verdict] = verdicts(run, 'thinfuse-direct', '≤ 60 ms');
    assert.equal(verdict?.reached, 70);
    assert.equal(verdict.held, false);
  });

  it('holds a snapshot to a sync of the same disk', () => {
    const run = madeRun({ snapshot: { 'thinfuse-leveldb': [0.6] }, sync: { 'thinfuse-leveldb': [0.5] } });
    const [verdict] = verdicts(run, 'thinfuse-leveldb', '≤ 1.2× sync');
    assert.equal(verdict?.held, true);
  });

  it('holds both snapshot latencies to a limit and the large one to the small one', () => {
    const run = madeRun({
      snapshot: { 'thinfuse-direct': [3] },
      'snapshot-large': { 'thinfuse-direct': [4.5] },
    });
    assert.deepEqual(
      verdicts(run, 'thinfuse-direct', '≤ 5 ms').map(({ held }) => held),
      [true, true],
    );
    const [beside] = verdicts(run, 'thinfuse-direct', '≤ 1.2×');
    assert.equal(beside?.reached, 1.5);
    assert.equal(beside.held, false);
  });

  it('knows a figure of every row for both kinds of pool', () => {
    const targets = judge(madeRun({})).map(({ target }) => target);
    for (const target of ['thinfuse-direct', 'thinfuse-leveldb'])
      assert.ok(targets.filter((name) => name === target).length >= 9, target);
  });
});
