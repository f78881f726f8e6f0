import assert from 'node:assert/strict';
import { formatCommands, growCommand, mountOptions } from '../../src/host/filesystems.js';
import {
  FILESYSTEM_LIMITS,
  FilesystemTools,
  parseBlkid,
  parseContent,
  parseFstrim,
} from '../../src/host/filesystem-tools.js';
import type { Exec } from '../../src/host/exec.js';

describe('filesystems', () => {
  it('makes xfs and ext4 with the arguments Docker gave, then those of dm.mkfsarg', () => {
    const env = { SOURCE_DATE_EPOCH: '1', DETERMINISTIC_SEED: '1', E2FSPROGS_FAKE_TIME: '1' };
    const own = ['-m', 'uuid=7468696e-6675-8365-8000-000000786673'];
    const layout = ['-d', 'su=64k,sw=1,agcount=4', '-l', 'su=4k'];
    for (const [size, extraArgs, expected] of [
      [320 * 2 ** 20, ['-i', 'size=1024'], [...own, ...layout, '-i', 'size=1024']],
      [320 * 2 ** 20, ['-d', 'agcount=2'], [...own, '-d', 'agcount=2']],
      [320 * 2 ** 20, ['-m', 'uuid=u'], [...layout, '-m', 'uuid=u']],
      [4 * 2 ** 40, [], own],
    ] as const)
      assert.deepEqual(formatCommands('xfs', 'd', { size, extraArgs }), [
        { tool: 'mkfs.xfs', args: ['-f', ...expected, 'd'], env },
      ]);
    const uuid = '7468696e-6675-8365-8000-000065787434';
    const zeroed = 'nodiscard,lazy_itable_init=0,lazy_journal_init=0';
    for (const [extraArgs, expected] of [
      [
        ['-O', '^has_journal'],
        ['-E', `${zeroed},hash_seed=${uuid}`, '-U', uuid, '-O', '^has_journal'],
      ],
      [
        ['-U', 'u'],
        ['-E', zeroed, '-U', 'u'],
      ],
    ] as const)
      assert.deepEqual(formatCommands('ext4', '/dev/loop1', { extraArgs }), [
        { tool: 'mkfs.ext4', args: ['-F', ...expected, '/dev/loop1'], env },
        { tool: 'tune2fs', args: ['-c', '-1', '-i', '0', '/dev/loop1'], env },
      ]);
  });

  it('tells a filesystem, a partition table, other content and nothing from one another', () => {
    const of = (...lines: string[]): unknown => parseContent(lines.join('\n'));
    assert.deepEqual(of('TYPE=btrfs', 'USAGE=filesystem'), { kind: 'filesystem', type: 'btrfs' });
    assert.deepEqual(of('PTUUID=1', 'PTTYPE=gpt'), { kind: 'partitions', type: 'gpt' });
    assert.deepEqual(of('TYPE=LVM2_member', 'USAGE=raid'), { kind: 'other', type: 'LVM2_member' });
    assert.deepEqual(of(''), { kind: 'nothing' });
  });

  it('mounts xfs with nouuid always, and keeps the log out of read-only views when asked', () => {
    assert.equal(mountOptions('xfs'), 'nouuid');
    assert.equal(mountOptions('ext4'), '');
    assert.equal(mountOptions('xfs', { extra: 'noatime, discard,' }), 'nouuid,noatime,discard');
    assert.equal(
      mountOptions('xfs', { readOnly: true, skipLog: true, extra: 'rw' }),
      'nouuid,rw,ro,norecovery',
    );
    assert.equal(mountOptions('ext4', { readOnly: true, skipLog: true }), 'ro,noload');
  });

  it('grows xfs by its mount point and ext4 by its device', () => {
    const mounted = { loop: '/dev/loop1', target: '/mnt/a' };
    assert.deepEqual(growCommand('xfs', mounted), { tool: 'xfs_growfs', args: ['-d', '/mnt/a'] });
    assert.deepEqual(growCommand('ext4', mounted), { tool: 'resize2fs', args: ['/dev/loop1'] });
  });

  it('grows a large xfs in steps of so many groups, of which each has the time limit', async () => {
    const ran: string[] = [];
    const exec: Exec = {
      run: (tool, args) => {
        ran.push([tool, ...args].join(' '));
        const stdout = `meta-data=/dev/loop5 isize=512    agcount=4, agsize=1000 blks
         =                       sectsz=512   attr=2, projid32bit=1
data     =                       bsize=4096   blocks=4000, imaxpct=25
log      =internal log           bsize=4096   blocks=2560, version=2
`;
        return Promise.resolve({ code: 0, stdout, stderr: '' });
      },
    };
    const tools = new FilesystemTools(exec, { ...FILESYSTEM_LIMITS, groupsPerStep: 10 });
    const mounted = { loop: '/dev/loop5', target: '/mnt/a' };
    await tools.grow('xfs', mounted, 25_000 * 4096);
    assert.deepEqual(ran.splice(0), [
      'xfs_growfs -n /mnt/a',
      'xfs_growfs -D 14000 /mnt/a',
      'xfs_growfs -D 24000 /mnt/a',
      'xfs_growfs -d /mnt/a',
    ]);
    await tools.grow('xfs', mounted, 14_000 * 4096);
    assert.deepEqual(ran, ['xfs_growfs -n /mnt/a', 'xfs_growfs -d /mnt/a']);
  });

  it('reads what fstrim says, whatever the folder is called', () => {
    assert.equal(parseFstrim('/mnt: 19.5 GiB (20937965568 bytes) trimmed\n'), 20937965568);
    assert.equal(parseFstrim('/mnt/(7 bytes) trimmed: 0 B (0 bytes) trimmed\n'), 0);
  });

  it('reads what blkid found', () => {
    assert.deepEqual(parseBlkid('DEVNAME=/dev/loop1\nUUID=a-b\nTYPE=xfs\nUSAGE=filesystem\n'), {
      type: 'xfs',
      uuid: 'a-b',
    });
    assert.deepEqual(parseBlkid('TYPE=swap\n'), { type: 'swap', uuid: undefined });
    assert.equal(parseBlkid('PTTYPE=gpt\n'), undefined);
  });
});
