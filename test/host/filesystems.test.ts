import assert from 'node:assert/strict';
import { formatCommands, growCommand, mountOptions } from '../../src/host/filesystems.js';
import { parseBlkid, parseFstrim } from '../../src/host/filesystem-tools.js';

describe('filesystems', () => {
  it('makes xfs and ext4 with the arguments Docker gave, then those of dm.mkfsarg', () => {
    assert.deepEqual(formatCommands('xfs', '/dev/loop1', { extraArgs: ['-i', 'size=1024'], uuid: 'u' }), [
      { tool: 'mkfs.xfs', args: ['-f', '-m', 'uuid=u', '-i', 'size=1024', '/dev/loop1'] },
    ]);
    assert.deepEqual(formatCommands('ext4', '/dev/loop1', { extraArgs: ['-O', '^has_journal'] }), [
      {
        tool: 'mkfs.ext4',
        args: [
          '-F',
          '-E',
          'nodiscard,lazy_itable_init=0,lazy_journal_init=0',
          '-O',
          '^has_journal',
          '/dev/loop1',
        ],
      },
      { tool: 'tune2fs', args: ['-c', '-1', '-i', '0', '/dev/loop1'] },
    ]);
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
