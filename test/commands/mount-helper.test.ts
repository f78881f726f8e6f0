import assert from 'node:assert/strict';
import { mountAsk, permissionsOf } from '../../src/commands/mount-flags.js';
import { isMountHelper, mountHelperArguments } from '../../src/commands/mount-helper.js';

const called = (...words: readonly string[]): readonly string[] | undefined =>
  mountHelperArguments(['node', '/sbin/mount.thinfuse', ...words]);

describe('mount.thinfuse', () => {
  it('is the program under that name', () => {
    assert.equal(isMountHelper(['node', '/sbin/mount.thinfuse', 'db']), true);
    assert.equal(isMountHelper(['node', '/usr/bin/thinfuse', 'mount']), false);
  });

  it('hands on what a line of fstab says', () => {
    assert.deepEqual(called('db', '/srv/db', '-o', 'rw,noatime,root=/pool,mode=0750,owner=5:5'), [
      ...['node', '/sbin/mount.thinfuse', 'mount', '--root', '/pool', '--mode', '0750', '--owner', '5:5'],
      ...['--options', 'rw,noatime', '--', 'db', '/srv/db'],
    ]);
    assert.deepEqual(called('db', '/srv/db', '-nv', '-t', 'thinfuse', '-N', '5'), [
      ...['node', '/sbin/mount.thinfuse', 'mount', '--', 'db', '/srv/db'],
    ]);
    assert.deepEqual(called('-r', 'db', '/srv/db')?.slice(2), [
      'mount',
      '--options',
      'ro',
      '--',
      'db',
      '/srv/db',
    ]);
  });

  it('does nothing where mount(8) only pretends', () => {
    assert.equal(called('db', '/srv/db', '-fv'), undefined);
  });
});

describe('what a mount is asked with', () => {
  it('leaves out what is about a line of fstab, and takes ro and allow_other for what they are', () => {
    assert.deepEqual(
      mountAsk({
        options: ['defaults,nofail,_netdev,x-systemd.requires=thinfuse.service', 'ro,noatime,allow_other'],
      }),
      { readOnly: true, options: 'noatime', allowOther: true },
    );
    assert.throws(() => mountAsk({ options: ['no atime'] }), /not an option of mount/);
  });

  it('has owner and mode in numbers', () => {
    assert.equal(permissionsOf({}), undefined);
    assert.deepEqual(permissionsOf({ mode: '1777' }), { mode: 0o1777 });
    assert.deepEqual(permissionsOf({ owner: '999' }), { uid: 999 });
    assert.deepEqual(permissionsOf({ owner: ':7', mode: '0700' }), { gid: 7, mode: 0o700 });
    for (const owner of ['', ':', 'postgres', '1:2:3'])
      assert.throws(() => permissionsOf({ owner }), /numbers/);
    for (const mode of ['', '8', '17777', 'u+x']) assert.throws(() => permissionsOf({ mode }), /octal/);
  });
});
