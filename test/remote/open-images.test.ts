import assert from 'node:assert/strict';
import fc from 'fast-check';
import { OpenImages } from '../../src/remote/open-images.js';

class Image {
  isClosed = false;

  close(): void {
    assert.equal(this.isClosed, false, 'an image is closed once');
    this.isClosed = true;
  }
}

describe('remote: open images', () => {
  it('are closed only where nobody uses them, and are never more than allowed beyond those in use', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(fc.tuple(fc.nat({ max: 6 }), fc.boolean(), fc.constantFrom('use', 'close')), {
          maxLength: 60,
        }),
        async (most, steps) => {
          const made: Image[] = [];
          const images = new OpenImages<Image>(most);
          const working: { image: Image; end: () => void; done: Promise<void> }[] = [];
          for (const [key, endsNow, step] of steps) {
            if (step === 'close') images.close(`${key}`);
            else {
              const { promise: held, end } = later();
              let image: Image | undefined;
              const done = images.use(`${key}`, open, async (one) => {
                assert.equal(one.isClosed, false);
                image = one;
                await held;
              });
              await turns();
              assert.ok(image !== undefined);
              if (endsNow) end();
              else working.push({ image, end, done });
              if (endsNow) await done;
            }
            await turns();
          }
          const inUse = new Set(working.map(({ image }) => image));
          const unused = made.filter((image) => !image.isClosed && !inUse.has(image));
          assert.ok(unused.length <= most, `${unused.length} are open`);
          for (const { end } of working) end();
          await Promise.all(working.map(({ done }) => done));
          await turns();
          assert.ok(made.filter(({ isClosed }) => !isClosed).length <= most);

          function open(): Promise<Image> {
            const image = new Image();
            made.push(image);
            return Promise.resolve(image);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it('are opened again after one could not be', async () => {
    const images = new OpenImages<Image>(1);
    await assert.rejects(
      images.use('a', () => Promise.reject(new Error('no such image')), nothing),
      /no such image/,
    );
    await images.use('a', () => Promise.resolve(new Image()), nothing);
  });

  it('stay open where the work with them fails', async () => {
    const images = new OpenImages<Image>(1);
    const image = new Image();
    await assert.rejects(
      images.use(
        'a',
        () => Promise.resolve(image),
        () => Promise.reject(new Error('no answer')),
      ),
      /no answer/,
    );
    const again = await images.use(
      'a',
      () => assert.fail('it is open'),
      (one) => Promise.resolve(one),
    );
    assert.equal(again, image);
    assert.equal(image.isClosed, false);
  });
});

function nothing(): Promise<void> {
  return Promise.resolve();
}

function later(): { promise: Promise<void>; end: () => void } {
  let end = (): void => undefined;
  const promise = new Promise<void>((resolve) => (end = resolve));
  return { promise, end };
}

/** All that can go on by itself has gone on. */
function turns(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
