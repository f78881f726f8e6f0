import path from 'node:path';
import type { MountTable } from '../../host/mount-table.js';
import type { DoctorFacts, ServedDevice } from './facts.js';
import type { DoctorFinding } from '../../api/doctor-report.js';

/** Finds faults and surprising states of a pool's mounts, loop devices, devices and files. Pure. */
export function diagnose(facts: DoctorFacts): readonly DoctorFinding[] {
  return [
    ...ofPool(facts),
    ...(facts.served === undefined ? ofDeadDaemon(facts) : ofDaemon(facts, facts.served)),
    ...ofFolders(facts),
    ...facts.unfinished.map((name) =>
      mendable(
        'unfinished-device',
        name,
        'it is not whole, and the command that made it is gone: it goes in a moment, or with the next start',
      ),
    ),
    ...facts.viewTargets.map((folder) =>
      mendable(
        'leftover-folder',
        folder,
        'a daemon that is gone made it for a view; the next start takes it away',
      ),
    ),
    ...facts.deadFiles.map((file) =>
      mendable('stale-file', file, 'it belongs to a daemon that is gone; the next start takes it away'),
    ),
    ...facts.drifted.map((file) =>
      mendable(
        'projection',
        file,
        'it does not show what the pool holds, which alone counts; it is rewritten',
      ),
    ),
  ];
}

function ofPool({ pool }: DoctorFacts): DoctorFinding[] {
  const found: DoctorFinding[] = [];
  if (pool.needsCheck)
    found.push(
      problem(
        'needs-check',
        'pool',
        'it found damage and takes no writes until a check has seen all of it: thinfuse check --clear-needs-check-flag',
      ),
    );
  else if (pool.mode === 'out_of_data_space')
    found.push(
      problem(
        'pool-mode',
        'pool',
        'it is full and refuses writes that need room; remove devices, extend it (thinfuse extend), or make room on its disk, and writing goes on',
      ),
    );
  else if (pool.mode !== 'rw')
    found.push(
      problem(
        'pool-mode',
        'pool',
        `it is ${pool.mode} after a failure; its log says which. Stop and start it`,
      ),
    );
  return found;
}

/** No daemon serves the pool, so everything of it that is mounted or attached is dead. */
function ofDeadDaemon({ table, loops, devicesFolder, deleted, users }: DoctorFacts): DoctorFinding[] {
  const found: DoctorFinding[] = [];
  const fuse = table.on(devicesFolder);
  if (fuse?.type.startsWith('fuse') === true)
    found.push(
      mendable(
        'dead-mount',
        devicesFolder,
        'it is the image folder of a daemon that died, and every access to it fails; the next start removes it',
      ),
    );
  for (const loop of loops) {
    for (const { target } of table.ofLoop(loop.device))
      found.push(
        mendable(
          'stale-mount',
          target,
          `it is mounted from ${loop.device}, whose daemon died: its files cannot be read any more${inUseBy(users, target)}`,
        ),
      );
    found.push(
      mendable(
        'stale-loop',
        loop.device,
        `it is attached to ${loop.backingFile}, whose daemon died; nothing can be read from it${inUseBy(users, loop.device)}`,
      ),
    );
  }
  for (const name of deleted)
    found.push(note('deleted-device', name, 'it is marked deleted; the next start removes it'));
  return found;
}

function ofDaemon(
  { table, loops, users, views }: DoctorFacts,
  served: readonly ServedDevice[],
): DoctorFinding[] {
  const found: DoctorFinding[] = [];
  for (const device of served) {
    const { name, mountPoint, loop } = device;
    // Its removal unmounts it, and is perhaps at that now.
    if (device.deleted) found.push(deletedDevice(device, users, table, loops));
    else if (mountPoint !== undefined && loop !== undefined && !isMounted(table, mountPoint, loop))
      found.push(
        mendable(
          'lost-mount',
          name,
          `another program unmounted it from ${mountPoint}, so that ${loop} and the device stay without a user; release them with: thinfuse umount ${name}`,
        ),
      );
    else if (device.leaving)
      found.push(
        note(
          'leaving-device',
          name,
          `it was detached while in use; the kernel removes it after its last user${keptBy(device, users, table, loops)}`,
        ),
      );
  }
  for (const loop of loops.filter(({ backingFile }) => !views.includes(backingFile))) {
    const owner = served.find(({ path: image }) => image === loop.backingFile && !loop.deleted);
    if (owner === undefined)
      found.push(
        mendable(
          'stale-loop',
          loop.device,
          `it is attached to ${loop.backingFile}, which is not an active device any more: nothing can be read from it${inUseBy(users, loop.device)}`,
        ),
      );
    else if (owner.loop !== loop.device && !owner.labelled && !owner.deleted && !owner.leaving)
      found.push(
        note(
          'foreign-loop',
          loop.device,
          `another program attached it to the image of device ${owner.name}${mountedOn(table, loop.device)}; that program must detach it (losetup --detach ${loop.device}), and until then the device is busy`,
        ),
      );
  }
  return found;
}

function deletedDevice(
  device: ServedDevice,
  users: ReadonlyMap<string, string>,
  table: MountTable,
  loops: DoctorFacts['loops'],
): DoctorFinding {
  const kept = keptBy(device, users, table, loops);
  const unused = kept === '';
  return {
    severity: 'note',
    kind: 'deleted-device',
    subject: device.name,
    message: unused
      ? `it is marked deleted and has no user: it goes within half a minute, or now with --fix`
      : `it is marked deleted, and the daemon removes it after its last user${kept}; at once, with: thinfuse rm --force ${device.name}`,
    mendable: unused,
  };
}

/** `: kept by …`, or nothing. */
function keptBy(
  { path: image, mountPoint, loop }: ServedDevice,
  users: ReadonlyMap<string, string>,
  table: MountTable,
  loops: DoctorFacts['loops'],
): string {
  const others = loops.filter(({ backingFile, device }) => backingFile === image && device !== loop);
  const keepers = [
    ...[mountPoint, loop].map((place) => (place === undefined ? undefined : users.get(place))),
    ...others.map(({ device }) => {
      const by =
        users.get(device) ??
        table
          .ofLoop(device)
          .map(({ target }) => `a mount on ${target}`)
          .join(', ');
      return by === '' ? `${device} on its image` : `${device} on its image, used by ${by}`;
    }),
  ].filter((words) => words !== undefined && words !== '');
  return keepers.length === 0 ? '' : `: kept by ${keepers.join('; ')}`;
}

function ofFolders({ mountsFolder, mountFolders, table }: DoctorFacts): DoctorFinding[] {
  return mountFolders
    .map(({ name, empty }) => ({ folder: path.join(mountsFolder, name), empty }))
    .filter(({ folder }) => table.on(folder) === undefined)
    .map(({ folder, empty }) =>
      empty
        ? mendable('leftover-folder', folder, 'it is an empty mount point that nothing is mounted on')
        : problem(
            'hidden-files',
            folder,
            'nothing is mounted there, yet it holds files: a program wrote to the mount point. A mount hides them; move them away',
          ),
    );
}

function isMounted(table: MountTable, target: string, loop: string): boolean {
  return table.ofLoop(loop).some((row) => row.target === target);
}

function mountedOn(table: MountTable, loop: string): string {
  const targets = table.ofLoop(loop).map(({ target }) => target);
  return targets.length === 0 ? '' : ` and mounted it on ${targets.join(', ')}`;
}

function inUseBy(users: ReadonlyMap<string, string>, place: string): string {
  const who = users.get(place);
  return who === undefined ? '' : `; in use by ${who}`;
}

function problem(kind: DoctorFinding['kind'], subject: string, message: string): DoctorFinding {
  return { severity: 'problem', kind, subject, message, mendable: false };
}

function mendable(kind: DoctorFinding['kind'], subject: string, message: string): DoctorFinding {
  return { severity: 'problem', kind, subject, message, mendable: true };
}

function note(kind: DoctorFinding['kind'], subject: string, message: string): DoctorFinding {
  return { severity: 'note', kind, subject, message, mendable: false };
}
