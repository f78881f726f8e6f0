import assert from 'node:assert/strict';
import fc from 'fast-check';
import { chunkId, type ChunkId } from '../../src/format/ids.js';
import type { RemoteImage } from '../../src/format/remote-image.js';
import { RemoteTable } from '../../src/metadata/remote-table.js';

function image(family: number): RemoteImage {
  return {
    url: 's3://store/image',
    digest: 'sha256:00',
    keyFile: '',
    note: '',
    settings: {},
    family,
    isHydrating: false,
  };
}

/** By going through all chunks, as the table itself must not. */
function counted(table: RemoteTable, is: (image: number) => boolean): number {
  return [...table.all()].filter(({ entry }) => is(entry.image)).length;
}

describe('the table of remote chunks', () => {
  it('knows how many are left of each image and family without a look at the chunks', () => {
    const step = fc.record({ chunk: fc.nat(3000), image: fc.nat(2), take: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const table = new RemoteTable();
        const images = [table.addImage(image(7)), table.addImage(image(7)), table.addImage(image(9))];
        for (const one of steps) {
          const chunk: ChunkId = chunkId(one.chunk);
          if (one.take) table.take(chunk);
          else if (table.peek(chunk) === undefined) table.set(chunk, { image: images[one.image]!, block: 1 });
        }
        for (const id of images)
          assert.equal(
            table.image(id)?.left,
            counted(table, (of) => of === id),
          );
        assert.equal(
          table.leftOf(7),
          counted(table, (of) => of !== images[2]),
        );
        assert.equal(
          table.leftOf(9),
          counted(table, (of) => of === images[2]),
        );
        assert.equal(
          table.count,
          counted(table, () => true),
        );
        for (const { chunk } of table.all()) table.take(chunk);
        assert.deepEqual([table.count, table.leftOf(7), table.leftOf(9)], [0, 0, 0]);
        // Held as long as chunks may still become remote.
        for (const id of images) table.releaseImage(id);
        assert.deepEqual(table.images(), []);
      }),
    );
  });
});
