import assert from 'node:assert/strict';
import { requireNode } from '../../src/cli/run.js';
import { ThinError } from '../../src/errors/thin-error.js';

describe('the Node.js that runs the command line', () => {
  for (const node of ['18.20.4', '20.9.0', '20.18.3'])
    it(`is said to be too old: ${node}`, () => {
      assert.throws(
        () => requireNode('ls', node),
        (error) => error instanceof ThinError && error.code === 'unsupported' && error.message.includes(node),
      );
    });

  for (const node of ['20.19.0', '20.20.2', '22.1.0', '24.0.0'])
    it(`is enough: ${node}`, () => {
      requireNode('ls', node);
    });

  it('does not keep anybody from looking at the host, and from help', () => {
    requireNode('doctor', '18.20.4');
    requireNode(undefined, '18.20.4');
  });
});
