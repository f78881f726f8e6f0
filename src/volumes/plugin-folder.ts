import { chmod, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { DEFAULT_PLUGIN_SOCKET } from './messages.js';

/** Docker's folder of plugins may not be there before Docker is. Any other folder has to be. */
export async function makePluginFolder(socket: string): Promise<void> {
  const folder = path.dirname(socket);
  if (folder !== path.dirname(DEFAULT_PLUGIN_SOCKET)) return;
  const made = await mkdir(folder, { recursive: true });
  if (made !== undefined) await chmod(folder, 0o755);
}
