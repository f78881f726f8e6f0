import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { padding, TAR_END, tarHeader, type Member } from '../../../src/containerd/diff/tar-header.js';
import { run, useScratch } from '../../support/mounts.js';

const PLAIN: Member = { type: 'file', name: 'file', mode: 0o644, uid: 0, gid: 0, size: 0, mtime: 0 };
const latin1 = (text: string): string => Buffer.from(text).toString('latin1');

describe('tar headers', () => {
  const scratch = useScratch();

  /** As GNU tar tells them. */
  async function listed(...members: readonly Member[]): Promise<string[]> {
    const file = scratch.current.at('test.tar');
    await writeFile(file, Buffer.concat([...members.map(tarHeader), TAR_END]));
    const options = ['--utc', '--full-time', '--numeric-owner', '--quoting-style=escape'];
    const text = await run('env', ['LC_ALL=C', 'tar', '--list', '--verbose', ...options, `--file=${file}`]);
    return text
      .trimEnd()
      .split('\n')
      .map((line) => line.replaceAll(/ +/g, ' '));
  }

  it('are what tar reads of every type', async () => {
    assert.deepEqual(
      await listed(
        { ...PLAIN, mode: 0o4755, uid: 1000, gid: 2000, mtime: 1_700_000_000 },
        { ...PLAIN, type: 'folder', name: 'folder/', mode: 0o1777 },
        { ...PLAIN, type: 'symlink', name: 'to', target: 'where', mode: 0o777 },
        { ...PLAIN, type: 'link', name: 'other', target: 'file', mode: 0 },
        { ...PLAIN, type: 'character', name: 'null', major: 1, minor: 3 },
        { ...PLAIN, type: 'block', name: 'disk', major: 4095, minor: 1_048_575 },
        { ...PLAIN, type: 'fifo', name: 'fifo' },
      ),
      [
        '-rwsr-xr-x 1000/2000 0 2023-11-14 22:13:20 file',
        'drwxrwxrwt 0/0 0 1970-01-01 00:00:00 folder/',
        'lrwxrwxrwx 0/0 0 1970-01-01 00:00:00 to -> where',
        'h--------- 0/0 0 1970-01-01 00:00:00 other link to file',
        'crw-r--r-- 0/0 1,3 1970-01-01 00:00:00 null',
        'brw-r--r-- 0/0 4095,1048575 1970-01-01 00:00:00 disk',
        'prw-r--r-- 0/0 0 1970-01-01 00:00:00 fifo',
      ],
    );
  });

  it('have room for what ustar has none for', async () => {
    const long = `${'folder/'.repeat(40)}end`;
    assert.deepEqual(
      await listed(
        { ...PLAIN, name: long, uid: 4_294_967_294, gid: 3_000_000 },
        { ...PLAIN, type: 'symlink', name: latin1('ü'), target: 't'.repeat(101) },
        { ...PLAIN, name: 'raw-\xff' },
        { ...PLAIN, name: 'old', mtime: -1_000_000 },
        { ...PLAIN, name: 'late', mtime: 10_000_000_000 },
      ),
      [
        `-rw-r--r-- 4294967294/3000000 0 1970-01-01 00:00:00 ${long}`,
        `lrw-r--r-- 0/0 0 1970-01-01 00:00:00 \\303\\274 -> ${'t'.repeat(101)}`,
        '-rw-r--r-- 0/0 0 1970-01-01 00:00:00 raw-\\377',
        '-rw-r--r-- 0/0 0 1969-12-20 10:13:20 old',
        '-rw-r--r-- 0/0 0 2286-11-20 17:46:40 late',
      ],
    );
  });

  it('have records whose length counts itself, also where that has one more digit', () => {
    for (let length = 80; length < 120; length++) {
      const header = tarHeader({ ...PLAIN, name: `é${'n'.repeat(length)}` });
      const [, digits, record] = /^(\d+) (.*\n)/s.exec(header.subarray(512, 1024).toString('latin1')) ?? [];
      assert.equal(Number(digits), `${digits} `.length + (record?.indexOf('\n') ?? 0) + 1);
    }
  });

  it('are followed by content that fills whole blocks', () => {
    assert.deepEqual(
      [0, 1, 511, 512, 513].map((length) => padding(length).length),
      [0, 511, 1, 0, 511],
    );
  });
});
