import { readdir, rm, rmdir } from 'node:fs/promises';
import path from 'node:path';
import { describeHolders, namespacesWith, processesIn } from '../../host/holders.js';
import type { LoopDevices } from '../../host/loop-devices.js';
import { MountTable } from '../../host/mount-table.js';
import { isImage, type StaleCleaner, type StaleQuery } from '../../host/stale.js';
import type { ViewTargets } from '../../host/view-targets.js';
import { parseDeviceName } from '../../format/device-name.js';
import type { DeviceInfo } from '../../pool/info.js';
import { answers } from '../../host/private-socket.js';
import type { RootLayout } from '../../config/root-layout.js';
import type { Service } from '../service.js';
import { diagnose } from './diagnose.js';
import type { DoctorFacts, ServedDevice } from './facts.js';
import type { DoctorFinding, DoctorReport } from '../../api/doctor-report.js';

/** What the doctor looks at and works with on this host. */
export interface DoctorTools {
  readonly loops: LoopDevices;
  readonly stale: StaleCleaner;
  readonly query: StaleQuery;
  readonly viewTargets: ViewTargets;
  /** Files of `<root>/metadata` that do not show what the pool holds; absolute. */
  readonly drifted: () => Promise<readonly string[]>;
  readonly rewrite: () => Promise<void>;
}

/** Of daemons that lived as long as a command. */
const TEMPORARY_SOCKET = /^thinfuse-\d+\.sock$/;
const PASSES = 2;

/**
 * Explains leftovers around a pool and what blocks operations, and repairs everything that no process uses.
 */
export async function examine(
  service: Service,
  tools: DoctorTools,
  { fix }: { readonly fix: boolean },
): Promise<DoctorReport> {
  const before = diagnose(await gather(service, tools));
  let after = before;
  // What lay under a mount shows only when that is gone.
  for (let pass = 0; fix && pass < PASSES && after.some(({ mendable }) => mendable); pass++) {
    await mend(service, tools, after);
    after = diagnose(await gather(service, tools));
  }
  return report(before, after);
}

function report(before: readonly DoctorFinding[], after: readonly DoctorFinding[]): DoctorReport {
  const still = new Set(after.map(keyOf));
  const known = new Set(before.map(keyOf));
  const findings = [...before, ...after.filter((finding) => !known.has(keyOf(finding)))].map((finding) => ({
    ...finding,
    mended: !still.has(keyOf(finding)),
  }));
  return {
    findings,
    left: findings.filter(({ severity, mended }) => severity === 'problem' && !mended).length,
  };
}

function keyOf({ kind, subject }: DoctorFinding): string {
  return `${kind} ${subject}`;
}

async function gather(service: Service, tools: DoctorTools): Promise<DoctorFacts> {
  const { layout, pool, serving } = service;
  const table = await MountTable.read();
  const loops = (await tools.loops.list()).filter(({ backingFile }) => isImage(backingFile, tools.query));
  const devices = await listed(pool.eachDevice());
  const served = serving === undefined ? undefined : devices.map((device) => servedDevice(service, device));
  const views = await listed(pool.eachDevice({ hidden: true }));
  const watched = served?.filter(({ deleted, leaving }) => deleted || leaving) ?? [];
  const targets = [
    ...watched.map(({ mountPoint }) => mountPoint),
    ...(serving === undefined
      ? loops.flatMap(({ device }) => table.ofLoop(device).map((row) => row.target))
      : []),
  ];
  const info = pool.info();
  return {
    devicesFolder: layout.devices,
    mountsFolder: layout.mounts,
    table,
    loops,
    served,
    views: views
      .map(({ name }) => serving?.served.active.pathOf(name))
      .filter((image) => image !== undefined),
    deleted: devices.filter(({ deleted }) => deleted).map(({ name }) => name),
    unfinished: await service.devices.unfinished.abandoned(),
    users: await usersOf(
      targets.filter((target) => target !== undefined),
      loops.map(({ device }) => device),
    ),
    mountFolders: await foldersIn(layout.mounts, table),
    // A daemon that serves may be about to mount on one.
    viewTargets: serving === undefined ? await tools.viewTargets.unused() : [],
    deadFiles: await deadFiles(layout, serving !== undefined),
    drifted: await tools.drifted(),
    pool: { mode: info.mode, needsCheck: info.needsCheck },
  };
}

async function listed(devices: AsyncIterable<DeviceInfo>): Promise<readonly DeviceInfo[]> {
  const all: DeviceInfo[] = [];
  for await (const device of devices) all.push(device);
  return all;
}

function servedDevice(
  { serving }: Service,
  { name, deleted, label }: { name: ServedDevice['name']; deleted: boolean; label: string },
): ServedDevice {
  const mounted = serving?.served.mounts.of(name);
  return {
    name,
    deleted,
    leaving: serving?.served.active.isLeaving(name) ?? false,
    labelled: label !== '',
    path: serving?.served.active.pathOf(name),
    loop: mounted?.loop,
    mountPoint: mounted?.target,
  };
}

async function usersOf(
  targets: readonly string[],
  loops: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  const users = new Map<string, string>();
  for (const target of targets) users.set(target, describeHolders(await processesIn(target)));
  for (const loop of loops)
    users.set(
      loop,
      (await namespacesWith(loop))
        .map(({ pid, command, path: where }) => `${command} (pid ${pid}), which has it on ${where}`)
        .join(', '),
    );
  for (const [place, who] of users) if (who === '') users.delete(place);
  return users;
}

/** A mount point is not looked into while something is mounted on it. */
async function foldersIn(folder: string, table: MountTable): Promise<DoctorFacts['mountFolders']> {
  const found: { name: string; empty: boolean }[] = [];
  for (const name of await readdir(folder).catch(() => [])) {
    const place = path.join(folder, name);
    if (table.on(place) !== undefined) continue;
    const inside = await readdir(place).catch(() => undefined);
    if (inside !== undefined) found.push({ name, empty: inside.length === 0 });
  }
  return found;
}

async function deadFiles(layout: RootLayout, hasDaemon: boolean): Promise<readonly string[]> {
  const dead: string[] = [];
  for (const name of await readdir(layout.root)) {
    const file = path.join(layout.root, name);
    const isOwn = file === layout.socket || file === layout.pid;
    if (isOwn ? hasDaemon : !TEMPORARY_SOCKET.test(name)) continue;
    if (file === layout.pid || !(await answers(file))) dead.push(file);
  }
  return dead;
}

/** Goes on after what fails: the second look tells. */
async function mend(service: Service, tools: DoctorTools, findings: readonly DoctorFinding[]): Promise<void> {
  const { serving } = service;
  const of = (kind: DoctorFinding['kind']): string[] =>
    findings.filter((finding) => finding.kind === kind && finding.mendable).map(({ subject }) => subject);
  if (serving === undefined) await tools.stale.clear(tools.query);
  else {
    const only = new Set(of('stale-loop'));
    if (only.size > 0) await tools.stale.clear({ ...tools.query, keepDevices: true, only });
    for (const subject of of('lost-mount')) {
      const name = parseDeviceName(subject);
      await service.locks
        .run([name], async () => {
          await serving.served.mounts.unmount(name);
          await serving.served.deferred.finish(name);
        })
        .catch(() => undefined);
    }
    if (of('deleted-device').length > 0) await serving.served.deferred.tryAll();
  }
  for (const folder of of('leftover-folder')) await rmdir(folder).catch(() => undefined);
  for (const file of of('stale-file')) await rm(file, { force: true }).catch(() => undefined);
  if (of('unfinished-device').length > 0) await service.devices.unfinished.sweep();
  if (of('projection').length > 0) await tools.rewrite().catch(() => undefined);
}
