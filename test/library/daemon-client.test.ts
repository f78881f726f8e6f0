import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { isTextOperationName, schemas, textSchemas } from '../../src/daemon/schemas.js';

const CLIENT = path.join(import.meta.dirname, '../../src/library/daemon-client.ts');

describe('library: the client of a daemon', () => {
  it('has a method for every operation', async () => {
    const source = await readFile(CLIENT, 'utf8');
    const missing = [...Object.keys(schemas), ...Object.keys(textSchemas)].filter((name) => {
      const how = isTextOperationName(name) ? 'text' : 'call';
      return !source.includes(`this.${how}('${name}'`);
    });
    assert.deepEqual(missing, []);
  });
});
