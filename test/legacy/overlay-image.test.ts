import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import fc from 'fast-check';
import { ThinError } from '../../src/errors/thin-error.js';
import type { ImageFile } from '../../src/io/image-file.js';
import { OverlayImage } from '../../src/legacy/overlay-image.js';
import { useScratch } from '../support/mounts.js';

const PAGE = 4096;
/** Its last page is a part of one. */
const SIZE = 5 * PAGE + 512;

/** Refuses to be written, and can fail to be read at one place. */
class Below implements ImageFile {
  readonly size = SIZE;
  readonly readOnly = true;
  readonly mappedBytes = SIZE;
  readonly modifiedAt = 0;
  readonly bytes = Buffer.from(Uint8Array.from({ length: SIZE }, (_, at) => (at * 7 + (at >> 8)) & 0xff));
  damagedAt: number | undefined;

  read(offset: number, into: Uint8Array): Promise<void> {
    const at = this.damagedAt;
    if (at !== undefined && at >= offset && at < offset + into.length)
      return Promise.reject(new ThinError('damaged', `byte ${at} is damaged`));
    into.set(this.bytes.subarray(offset, offset + into.length));
    return Promise.resolve();
  }

  write(): Promise<void> {
    return Promise.reject(new ThinError('read-only', 'nothing of it is written'));
  }

  discard = (): Promise<void> => this.write();
  writeZeroes = (): Promise<void> => this.write();
  flush = (): Promise<void> => Promise.resolve();
  close = (): Promise<void> => Promise.resolve();
  seek = (): Promise<number | undefined> => Promise.resolve(undefined);
}

type Step =
  | {
      readonly kind: 'write' | 'zero';
      readonly offset: number;
      readonly length: number;
      readonly fill: number;
    }
  | { readonly kind: 'read'; readonly offset: number; readonly length: number };

const places = fc
  .tuple(fc.nat(SIZE - 1), fc.integer({ min: 1, max: 2 * PAGE + 3 }))
  .map(([offset, length]) => ({ offset, length: Math.min(length, SIZE - offset) }));
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc
    .tuple(
      fc.constantFrom('write' as const, 'zero' as const, 'read' as const),
      places,
      fc.integer({ min: 1, max: 255 }),
    )
    .map(([kind, place, fill]) => (kind === 'read' ? { kind, ...place } : { kind, ...place, fill })),
  { maxLength: 20 },
);

describe('legacy: an image over one that takes no writes', () => {
  const scratch = useScratch();
  const temporary = process.env['TMPDIR'];
  beforeEach(() => {
    process.env['TMPDIR'] = scratch.current.root;
  });
  afterEach(() => {
    if (temporary === undefined) delete process.env['TMPDIR'];
    else process.env['TMPDIR'] = temporary;
  });

  it('reads as one file that was written to, whatever is written where, and leaves the one below as it is', async () => {
    await fc.assert(
      fc.asyncProperty(steps, fc.boolean(), async (all, atOnce) => {
        const below = new Below();
        const before = Buffer.from(below.bytes);
        const expected = Buffer.from(below.bytes);
        const image = await OverlayImage.over(below);
        const writes: Promise<void>[] = [];
        for (const step of all) {
          const { offset, length } = step;
          if (step.kind === 'read') {
            await Promise.all(writes);
            const into = Buffer.alloc(length);
            await image.read(offset, into);
            assert(into.equals(expected.subarray(offset, offset + length)));
            continue;
          }
          const fill = step.kind === 'zero' ? 0 : step.fill;
          expected.fill(fill, offset, offset + length);
          const work =
            step.kind === 'zero'
              ? image.writeZeroes(offset, length)
              : image.write(offset, Buffer.alloc(length, fill));
          writes.push(work);
          if (!atOnce) await work;
        }
        await image.flush();
        const whole = Buffer.alloc(SIZE);
        await Promise.all(writes);
        await image.read(0, whole);
        assert(whole.equals(expected));
        assert(below.bytes.equals(before));
        await image.close();
      }),
      { numRuns: 100 },
    );
  });

  it('has no holes, and no file that anybody could find or that stays', async () => {
    const image = await OverlayImage.over(new Below());
    assert.deepEqual(await readdir(scratch.current.root), []);
    assert.deepEqual(
      [await image.seek(10, 'data'), await image.seek(SIZE, 'data'), await image.seek(10, 'hole')],
      [10, undefined, SIZE],
    );
    assert.equal(image.readOnly, false);
    await image.close();
  });

  it('tells damage below where it is read, also to complete a page, and nowhere else', async () => {
    const below = new Below();
    below.damagedAt = PAGE + 5;
    const image = await OverlayImage.over(below);
    const damaged = (error: unknown): boolean => error instanceof ThinError && error.code === 'damaged';
    await assert.rejects(image.read(PAGE, new Uint8Array(PAGE)), damaged);
    await assert.rejects(image.write(PAGE + 100, new Uint8Array(10)), damaged);
    await image.read(0, new Uint8Array(PAGE));
    // Nothing of the refused write is there, and a whole page needs nothing from below.
    await image.write(PAGE, Buffer.alloc(PAGE, 9));
    const page = Buffer.alloc(PAGE);
    await image.read(PAGE, page);
    assert(page.equals(Buffer.alloc(PAGE, 9)));
    await image.close();
  });

  it('says that there is no room where the folder for temporary files is gone or full', async () => {
    process.env['TMPDIR'] = scratch.current.at('gone');
    await assert.rejects(OverlayImage.over(new Below()), /ENOENT/);
  });
});
