import type { RootLayout } from '../config/root-layout.js';
import { devicePrefix } from '../docker/prefix.js';
import type { Exec } from '../host/exec.js';
import { LoopDevices } from '../host/loop-devices.js';
import { StaleCleaner } from '../host/stale.js';

/** Removes the mounts and loop devices of a pool that no daemon serves. Errors: as `StaleCleaner.clear`. */
export async function clearLeftovers({ devices, space, root }: RootLayout, exec: Exec): Promise<void> {
  const imagePrefix = `${await devicePrefix(root)}-`;
  await new StaleCleaner(exec, new LoopDevices(exec)).clear({ devices, space, imagePrefix });
}
