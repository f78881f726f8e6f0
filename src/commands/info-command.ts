import { statfs } from 'node:fs/promises';
import type { Command } from 'commander';
import { devicePrefix, poolName } from '../docker/prefix.js';
import { infoBlock, infoFields, type InfoSurroundings } from '../docker/info-block.js';
import { withPool } from './connect.js';
import { contextOf, type Context } from './context.js';
import { example } from './example.js';
import { print, printJson } from './output.js';
import { version } from '../config/version.js';

export function registerInfoCommand(program: Command): void {
  program
    .command('info')
    .summary('show the pool as docker info did')
    .description('Prints the devicemapper block of docker info, field for field.')
    .addHelpText('after', example('thinfuse info'))
    .action(async (_options: unknown, command: Command) => {
      const context = contextOf(command);
      const { info, deleted } = await withPool(context, async (caller) => ({
        info: await caller.call('pool.info', {}),
        deleted: (await caller.call('device.list', {})).filter((device) => device.deleted).length,
      }));
      const around = await surroundings(context, deleted);
      if (context.json) printJson(infoFields(info, around));
      else print(infoBlock(info, around));
    });
}

/**
 * The LevelDB folder stands for both of Docker's loop files, and what its disk has left bounds what is
 * available.
 */
async function surroundings({ layout }: Context, deletedDevices: number): Promise<InfoSurroundings> {
  const { bavail, bsize } = await statfs(layout.pool);
  return {
    poolName: poolName(await devicePrefix(layout.root)),
    dataLoopFile: layout.pool,
    metadataLoopFile: layout.pool,
    dataHostFree: bavail * bsize,
    metadataHostFree: bavail * bsize,
    deletedDevices,
    version: version(),
  };
}
