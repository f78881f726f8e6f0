import { chmod, link, lutimes, mkdir, open, readdir, symlink, utimes, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../support/mounts.js';

export const SPARSE_BYTES = 1024 ** 3;
export const UTF8_NAME = 'grüße 日本 \u{1F600}';
/** No UTF-8, with a line feed and a backslash in it. */
export const RAW_NAME = Buffer.from('raw-\xff\xfe\n\\n', 'latin1');
/** A tar's old header has room for 100. */
export const LONG_PATH = Array.from({ length: 4 }, (_, i) => `${i}${'n'.repeat(200)}`).join('/');
const BINARY_VALUE = Buffer.from([0, 1, 0xff, 0xfe, 0x0a, 0x3d, 0x80]);

/**
 * Makes in an empty folder one of everything that a root filesystem can hold. Needs root, setfattr, setcap
 * and setfacl.
 */
export async function makeRichTree(root: string): Promise<void> {
  const at = (name: string): string => path.join(root, name);
  await mkdir(at('etc'));
  await writeFile(at('etc/passwd'), 'root:x:0:0\n');
  await writeFile(at('bin'), 'program');
  await chmod(at('bin'), 0o4755);
  await run('setcap', ['cap_net_raw+ep', at('bin')]);
  await writeFile(at('attributed'), 'x');
  await run('setfattr', ['-n', 'user.binary', '-v', `0x${BINARY_VALUE.toString('hex')}`, at('attributed')]);
  await run('setfattr', ['-n', 'trusted.thing', '-v', 'value', at('attributed')]);
  await run('setfacl', ['-m', 'u:1234:rwx,g:77:r', at('attributed')]);
  await run('setfattr', ['-n', 'user.folder', '-v', 'f', at('etc')]);
  await link(at('attributed'), at('etc/hard-link'));
  await symlink('/etc/passwd', at('absolute-link'));
  await symlink('etc', at('relative-link'));
  await symlink('nowhere/at/all', at('dangling'));
  await mkdir(at('dev'));
  await run('mknod', [at('dev/null'), 'c', '1', '3']);
  await run('mknod', [at('dev/disk'), 'b', '259', '70000']);
  await run('mkfifo', [at('fifo')]);
  const sparse = await open(at('sparse'), 'w');
  await sparse.truncate(SPARSE_BYTES);
  await sparse.write('middle', SPARSE_BYTES / 2);
  await sparse.close();
  await writeFile(at('empty'), '');
  await writeFile(at(UTF8_NAME), 'utf-8');
  await writeFile(Buffer.concat([Buffer.from(`${root}/`), RAW_NAME]), 'raw');
  await mkdir(at(LONG_PATH), { recursive: true });
  await writeFile(at(`${LONG_PATH}/file`), 'deep');
  await run('chown', ['-h', '12345:54321', at('empty'), at('dangling'), at('dev/null')]);
  await run('chown', ['4000000000:0', at('etc/passwd')]);
  await mkdir(at('private'), { mode: 0o1700 });
  await utimes(at('etc/passwd'), 1_000_000_000.123456, 1_000_000_000.123456);
  await utimes(at('empty'), -1.5, -1.5);
  await lutimes(at('dangling'), 1_111_111_111, 1_111_111_111);
  await utimes(at('private'), 946_684_800, 946_684_800);
}

/**
 * Everything about a tree as text, one line a path, for comparing: type, mode, owner, size, time, links,
 * device; attributes; contents. Sizes of folders and sockets are the filesystem's own and left out.
 */
export async function describeTree(root: string): Promise<string> {
  const format = '%P %y %m %U %G %T@ %n %l\\0';
  const script = `cd "$0" && {
    find . -printf '${format}' | sort -z | tr '\\0' '\\n'
    find . ! -type d -printf '%P %s\\0' | sort -z | tr '\\0' '\\n'
    find . \\( -type b -o -type c \\) -exec stat --format='%n %t:%T' {} + | sort
    getfattr -R -P -h -d -m - -e hex . | grep -v '^trusted.SGI_' | awk '/^# file/ { file = $0; next } NF { print file, $0 }' | sort
    find . -type f -size -10000k -print0 | sort -z | xargs -0 sha256sum
  }`;
  return run('sh', ['-c', script, root], { env: { ...process.env, LC_ALL: 'C' } });
}

export async function blocksOf(root: string): Promise<number> {
  return Number((await run('du', ['-s', '--block-size=1', root])).split('\t')[0]);
}

export async function namesIn(root: string): Promise<string[]> {
  return (await readdir(root)).sort();
}
