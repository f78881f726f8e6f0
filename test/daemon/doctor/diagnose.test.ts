import assert from 'node:assert/strict';
import { diagnose } from '../../../src/daemon/doctor/diagnose.js';
import type { DoctorFacts, ServedDevice } from '../../../src/daemon/doctor/facts.js';
import type { DeviceName } from '../../../src/format/ids.js';
import type { LoopDevice } from '../../../src/host/loop-devices.js';
import { parseMountTable } from '../../../src/format/mount-info.js';
import { MountTable } from '../../../src/host/mount-table.js';

const DEV = '/pool/dev';
const IMAGE = `${DEV}/docker-8:1-42-web`;
const FUSE = `30 1 0:50 / ${DEV} rw - fuse.thinfuse thinfuse rw\n`;
const WEB = '31 1 7:4 / /pool/mnt/web rw - xfs /dev/loop4 rw\n';

const loop = (device: string, change: Partial<LoopDevice> = {}): LoopDevice => ({
  device,
  backingFile: IMAGE,
  deleted: false,
  readOnly: false,
  directIo: true,
  autoclear: false,
  ...change,
});

const web = (change: Partial<ServedDevice> = {}): ServedDevice => ({
  name: 'web' as DeviceName,
  deleted: false,
  leaving: false,
  labelled: false,
  path: IMAGE,
  loop: '/dev/loop4',
  mountPoint: '/pool/mnt/web',
  ...change,
});

function facts(change: Partial<DoctorFacts> & { mounts?: string } = {}): DoctorFacts {
  const { mounts = FUSE + WEB, ...rest } = change;
  return {
    devicesFolder: DEV,
    mountsFolder: '/pool/mnt',
    table: new MountTable(parseMountTable(mounts)),
    loops: [loop('/dev/loop4')],
    served: [web()],
    views: [],
    deleted: [],
    unfinished: [],
    users: new Map(),
    mountFolders: [],
    viewTargets: [],
    deadFiles: [],
    drifted: [],
    pool: { mode: 'rw', needsCheck: false },
    ...rest,
  };
}

const kinds = (of: DoctorFacts): string[] =>
  diagnose(of).map(({ severity, kind, subject, mendable }) =>
    [severity, kind, subject, ...(mendable ? ['mendable'] : [])].join(' '),
  );

describe('doctor', () => {
  it('has nothing to say of a pool that is as it should be', () => {
    assert.deepEqual(kinds(facts()), []);
    assert.deepEqual(kinds(facts({ served: undefined, loops: [], mounts: '' })), []);
  });

  it('finds what a daemon that died left', () => {
    const users = new Map([['/pool/mnt/web', 'bash (pid 7) in /pool/mnt/web']]);
    const left = facts({
      served: undefined,
      users,
      viewTargets: ['/tmp/thinfuse-view-1'],
      deadFiles: ['/pool/thinfuse.sock'],
    });
    assert.deepEqual(kinds(left), [
      `problem dead-mount ${DEV} mendable`,
      'problem stale-mount /pool/mnt/web mendable',
      'problem stale-loop /dev/loop4 mendable',
      'problem leftover-folder /tmp/thinfuse-view-1 mendable',
      'problem stale-file /pool/thinfuse.sock mendable',
    ]);
    assert.match(diagnose(left)[1]?.message ?? '', /in use by bash \(pid 7\)/);
  });

  it('finds a mount that somebody else undid, and a loop device on a device that is gone', () => {
    assert.deepEqual(kinds(facts({ mounts: FUSE })), ['problem lost-mount web mendable']);
    const lazily = loop('/dev/loop5', { backingFile: '/docker-8:1-42-old' });
    assert.deepEqual(kinds(facts({ loops: [loop('/dev/loop4'), lazily] })), [
      'problem stale-loop /dev/loop5 mendable',
    ]);
  });

  it('explains what others attached, and leaves alone what is a program’s own', () => {
    const both = [loop('/dev/loop4'), loop('/dev/loop6')];
    assert.deepEqual(kinds(facts({ loops: both })), ['note foreign-loop /dev/loop6']);
    assert.deepEqual(kinds(facts({ loops: both, served: [web({ labelled: true })] })), []);
  });

  it('says who keeps a device that is to go', () => {
    const users = new Map([['/pool/mnt/web', 'sleep (pid 9) in /pool/mnt/web']]);
    const [kept] = diagnose(facts({ served: [web({ deleted: true })], users }));
    assert.match(kept?.message ?? '', /removes it after its last user: kept by sleep \(pid 9\)/);
    assert.equal(kept?.mendable, false);
    assert.deepEqual(kinds(facts({ served: [web({ deleted: true })] })), [
      'note deleted-device web mendable',
    ]);
    const underWay = facts({ served: [web({ deleted: true })], mounts: FUSE });
    assert.deepEqual(kinds(underWay), ['note deleted-device web mendable']);
    const leaving = web({ leaving: true, loop: undefined, mountPoint: undefined });
    const [other] = diagnose(
      facts({ served: [leaving], mounts: FUSE + WEB.replace('/pool/mnt/web', '/srv') }),
    );
    assert.match(other?.message ?? '', /kept by \/dev\/loop4 on its image, used by a mount on \/srv/);
  });

  it('names folders, files and modes, with what to do', () => {
    const messy = facts({
      mountFolders: [
        { name: 'old', empty: true },
        { name: 'full', empty: false },
        { name: 'web', empty: true },
      ],
      drifted: ['/pool/metadata/web'],
      pool: { mode: 'out_of_data_space', needsCheck: false },
    });
    assert.deepEqual(kinds(messy), [
      'problem pool-mode pool',
      'problem leftover-folder /pool/mnt/old mendable',
      'problem hidden-files /pool/mnt/full',
      'problem projection /pool/metadata/web mendable',
    ]);
    const checked = facts({ pool: { mode: 'ro', needsCheck: true } });
    assert.deepEqual(kinds(checked), ['problem needs-check pool']);
  });
});
