import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { casesOf, HOWS, placesOf, type Place } from '../../scripts/damage/injury.js';
import { judge, type Subject } from '../../scripts/damage/judge.js';
import { makeSubject, poolKindOf } from '../../scripts/damage/subject.js';
import { useScratch } from '../support/mounts.js';

/** A small share of scripts/damage.sh, in this process: LevelDB must not end it. */
const CASES = 2;
/** One of each kind of damage. */
const MORE: readonly Place[] = ['table', 'manifest', 'current'];

describe('fuzz: damaged files', function () {
  this.timeout(0);
  const scratch = useScratch();

  for (const kind of ['leveldb', 'packed', 'direct'] as const)
    it(`of a ${kind} pool are found, and repair serves nothing that is wrong`, async () => {
      const root = scratch.current.at(`${kind}-subject`);
      const work = scratch.current.at(`${kind}-work`);
      await mkdir(work);
      const history = await makeSubject(root, { kind, seed: 3, scratch: work });
      const subject: Subject = { root, kind, history };
      for (const place of placesOf(poolKindOf(kind)))
        for (const one of casesOf(place, MORE.includes(place) ? HOWS.length : CASES, 11)) {
          const { found, repaired, what, note } = await judge(subject, one, work);
          assert.notEqual(found, 'silent', `${what}: ${note}`);
          assert.notEqual(repaired, 'wrong', `${what}: ${note}`);
        }
    });
});
