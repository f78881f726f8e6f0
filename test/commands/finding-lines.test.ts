import assert from 'node:assert/strict';
import { findingLines } from '../../src/commands/finding-lines.js';

describe('findings for people', () => {
  it('say once what holds of neighbours', () => {
    const of = (path: string, problem = 'is lost'): { path: string; problem: string } => ({ path, problem });
    assert.deepEqual(findingLines([]), []);
    assert.deepEqual(
      findingLines([
        of('superblock'),
        of('superblock'),
        of('chunk 9'),
        of('chunk 10'),
        of('chunk 11'),
        of('chunk 13'),
        of('chunk 14', 'is torn'),
        of('device 2 / node 7'),
        of('node 8'),
        of('chunk 5', 'chunk 5 is damaged: why'),
      ]),
      [
        'superblock: is lost',
        'superblock: is lost',
        'chunk 9 to 11: is lost',
        'chunk 13: is lost',
        'chunk 14: is torn',
        'device 2 / node 7: is lost',
        'node 8: is lost',
        'chunk 5 is damaged: why',
      ],
    );
  });
});
