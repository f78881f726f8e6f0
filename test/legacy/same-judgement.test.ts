import assert from 'node:assert/strict';
import { truncate, writeFile } from 'node:fs/promises';
import { ThinError } from '../../src/errors/thin-error.js';
import { METADATA_BLOCK, sealBlock, type BlockKind } from '../../src/legacy/disk-block.js';
import { listDevices } from '../../src/legacy/device-list.js';
import { imageRuns } from '../../src/legacy/image-runs.js';
import { openOldDevice } from '../../src/legacy/old-device.js';
import { devicesOf, type OldDevice, type OldSource } from '../../src/legacy/old-source.js';
import { withOldSource } from '../../src/legacy/open-source.js';
import { surveyPool } from '../../src/legacy/survey.js';
import { randomOf, sharingMetadata, usedBlocks } from '../support/hurt-metadata.js';
import { useScratch } from '../support/mounts.js';
import { requireThinTools } from '../support/thin-provisioning-tools.js';

/** The long form: scripts/thin-tools.sh. */
const ROUNDS = Number(process.env['THINFUSE_CHECK_ROUNDS'] ?? 40);
const SEED = Number(process.env['THINFUSE_CHECK_SEED'] ?? 17);
const DATA_BYTES = 2000 * 65536;

describe('legacy: what is said of one device by what reads it', function () {
  this.timeout(3_600_000);
  requireThinTools();
  const scratch = useScratch();

  it('is the same in info, ls and what opens it, however its metadata is hurt', async () => {
    const whole = await sharingMetadata(scratch.current, 0);
    const [metadata, data] = [scratch.current.at('hurt'), scratch.current.at('data')];
    await writeFile(data, '');
    await truncate(data, DATA_BYTES);
    const used = usedBlocks(whole);
    const random = randomOf(SEED);
    const differ: string[] = [];
    let damaged = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const { bytes, what } = hurt(whole, used, random);
      await writeFile(metadata, bytes);
      const judge = async (source: OldSource): Promise<void> => {
        const survey = surveyPool(source.pools[0]!.pool);
        const { devices } = await listDevices(source);
        assert.deepEqual(
          devices.map(({ one }) => one.label),
          devicesOf(source).map(({ label }) => label),
        );
        for (const { one, state } of devices) {
          const info = isSound(one, survey.devices) ? 'sound' : 'damaged';
          const opened = await judgementOf(source, one);
          if (info === 'damaged') damaged++;
          if (info !== state || info !== opened)
            differ.push(`round ${round}, ${what}: ${one.label}: info ${info}, ls ${state}, opened ${opened}`);
        }
      };
      await unlessDamaged(
        withOldSource(
          {
            ...{ paths: [], metadata, data, heldRoot: false, search: false, overrides: {} },
            onNote: () => undefined,
          },
          judge,
        ),
      );
    }
    assert.deepEqual(differ, []);
    assert.ok(damaged > 0);
  });
});

function isSound(one: OldDevice, devices: ReturnType<typeof surveyPool>['devices']): boolean {
  const surveyed = one.kind === 'thin' ? devices.get(one.number) : undefined;
  return surveyed?.damage.length === 0;
}

async function judgementOf(source: OldSource, one: OldDevice): Promise<'sound' | 'damaged'> {
  const request = { size: undefined, skipDamaged: false, externalOrigin: undefined };
  const all = async (): Promise<void> => {
    const { image } = await openOldDevice(source, one, { ...request, onNote: () => undefined });
    for await (const { length } of imageRuns(image)) assert.ok(length > 0);
  };
  return (await unlessDamaged(all())) ? 'sound' : 'damaged';
}

/** False where it ends with damage. */
async function unlessDamaged(work: Promise<void>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (error instanceof ThinError && ['damaged', 'invalid-argument'].includes(error.code)) return false;
    throw error;
  }
}

function hurt(
  whole: Buffer,
  used: readonly (readonly [number, BlockKind])[],
  random: (below: number) => number,
): { bytes: Buffer; what: string } {
  const bytes = Buffer.from(whole);
  const nodes = used.filter(([, kind]) => kind === 'node');
  const [block, kind] = nodes[random(nodes.length)]!;
  const within = bytes.subarray(block * METADATA_BLOCK, (block + 1) * METADATA_BLOCK);
  const place = 16 + random(random(3) === 0 ? METADATA_BLOCK - 16 : 200);
  within[place] = within[place]! ^ (1 << random(8));
  if (random(8) > 0) sealBlock(kind, block, within);
  return { bytes, what: `block ${block} changed at ${place}` };
}
