import { statfs } from 'node:fs/promises';
import type { Command } from 'commander';
import { devicePrefix, poolName } from '../docker/prefix.js';
import { infoBlock, infoJson, type InfoSurroundings } from '../docker/info-block.js';
import { dataPlace } from '../daemon/data-place.js';
import type { PoolInfo } from '../pool/info.js';
import { withPool } from './connect.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { note, print, printJson } from './output.js';
import { version } from '../config/version.js';

export function registerInfoCommand(program: Command): void {
  program
    .command('info')
    .summary('show the pool as docker info did')
    .description(
      'Prints the devicemapper block of docker info, field for field. With --json, sizes in bytes and booleans.',
    )
    .addHelpText('after', example('thinfuse info'))
    .action(async (_options: unknown, command: Command) => {
      const context = contextOf(command);
      const { info, deleted } = await withPool(context, async (caller) => ({
        info: await caller.call('pool.info', {}),
        deleted: (await caller.call('device.list', {})).filter((device) => device.deleted).length,
      }));
      if (info.lacks !== undefined) note(info.lacks);
      const around = await surroundings(context, info, deleted);
      if (context.json) printJson(infoJson(info, around));
      else print(infoBlock(info, around));
    });
}

/**
 * A disk is a data file, as for a pool of LVM; a file or a LevelDB folder stands for Docker's loop file, and
 * what its disk has left bounds what is available. The same holds for the folder of the metadata.
 */
async function surroundings(
  { layout }: Context,
  info: PoolInfo,
  deletedDevices: number,
): Promise<InfoSurroundings> {
  const place = await dataPlace(layout, info);
  const { bavail, bsize } = await statfs(layout.pool);
  return {
    poolName: poolName(await devicePrefix(layout.root)),
    ...(place.kind === 'disk'
      ? { dataFile: place.path, metadataFile: layout.pool }
      : { dataLoopFile: place.path, metadataLoopFile: layout.pool }),
    dataHostFree: place.hostFree,
    metadataHostFree: bavail * bsize,
    deletedDevices,
    version: version(),
  };
}
