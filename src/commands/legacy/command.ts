import type { Command } from 'commander';
import { registerLegacyExport } from './export.js';
import { registerLegacyImport } from './import.js';
import { registerLegacyInfo } from './info.js';
import { registerLegacyList } from './list.js';
import { registerLegacyMount } from './mount.js';

/**
 * Pools that a kernel's dm-thin wrote, under Docker or LVM, without device mapper and without changing them.
 */
export function registerLegacyCommands(program: Command): void {
  const legacy = program
    .command('legacy')
    .summary('read old pools of Docker, LVM and dm-thin')
    .description(
      "Reads pools that the kernel wrote, without device mapper: those of Docker's devicemapper driver, and LVM thin pools. Never writes to them.",
    );
  registerLegacyList(legacy);
  registerLegacyInfo(legacy);
  registerLegacyMount(legacy);
  registerLegacyExport(legacy);
  registerLegacyImport(legacy);
}
