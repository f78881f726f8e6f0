import type { Bytes } from '../../host/file-tree.js';

/** What a member is (tar(5), POSIX.1-2001 ustar). */
export const MEMBER_TYPES = {
  file: '0',
  link: '1',
  symlink: '2',
  character: '3',
  block: '4',
  folder: '5',
  fifo: '6',
} as const;
export type MemberType = keyof typeof MEMBER_TYPES;

/** A member of a tar. Numbers are not negative, but for the time. */
export interface Member {
  readonly type: MemberType;
  /** Without a leading slash; of a folder, with a trailing one. */
  readonly name: Bytes;
  readonly target?: Bytes | undefined;
  /** The lower twelve bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes. */
  readonly size: number;
  /** Unix time, whole seconds. */
  readonly mtime: number;
  readonly major?: number;
  readonly minor?: number;
  /** The value of `security.capability`. */
  readonly capability?: Uint8Array | undefined;
}

const TAR_BLOCK = 512;
/** Two empty blocks. */
export const TAR_END = Buffer.alloc(2 * TAR_BLOCK);

const [NAME, MODE, UID, GID, SIZE, MTIME, SUM, TYPE, TARGET, MAGIC, MAJOR, MINOR] = [
  ...[0, 100, 108, 116, 124, 136, 148, 156, 157, 257, 329, 337],
] as const;
const NAME_LENGTH = 100;
const PAX = 'x';

/**
 * The header of a member, with a pax header in front where ustar has no room. tar-stream and tar were
 * weighed: both take values of pax records as text, and a capability is bytes, as are names that are no
 * UTF-8; tar-stream has no mode 0 and no time after 2038.
 */
export function tarHeader(member: Member): Buffer {
  const records: [string, Buffer][] = [];
  const text = (key: string, value: Bytes): void => {
    if (value.length > NAME_LENGTH || /[\x80-\xff]/.test(value))
      records.push([key, Buffer.from(value, 'latin1')]);
  };
  const number = (key: string, value: number, digits: number): void => {
    if (value < 0 || value >= 8 ** digits) records.push([key, Buffer.from(`${value}`)]);
  };
  text('path', member.name);
  text('linkpath', member.target ?? '');
  number('uid', member.uid, 7);
  number('gid', member.gid, 7);
  number('size', member.size, 11);
  number('mtime', member.mtime, 11);
  if (member.capability !== undefined)
    records.push(['SCHILY.xattr.security.capability', Buffer.from(member.capability)]);
  const header = ustar(member, MEMBER_TYPES[member.type]);
  if (records.length === 0) return header;
  const body = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
  const ahead = { ...member, name: 'PaxHeaders.0/header', target: '', size: body.length };
  return Buffer.concat([ustar(ahead, PAX), body, padding(body.length), header]);
}

/** What fills the last block of so many bytes. */
export function padding(length: number): Buffer {
  return Buffer.alloc((TAR_BLOCK - (length % TAR_BLOCK)) % TAR_BLOCK);
}

function ustar(member: Omit<Member, 'type'>, type: string): Buffer {
  const header = Buffer.alloc(TAR_BLOCK);
  const octal = (at: number, digits: number, value: number): void => {
    const fits = value >= 0 && value < 8 ** digits;
    header.write((fits ? value : 0).toString(8).padStart(digits, '0'), at, 'latin1');
  };
  const name = (at: number, value: Bytes): void => {
    header.write(value.slice(0, NAME_LENGTH), at, 'latin1');
  };
  name(NAME, member.name);
  octal(MODE, 7, member.mode);
  octal(UID, 7, member.uid);
  octal(GID, 7, member.gid);
  octal(SIZE, 11, member.size);
  octal(MTIME, 11, member.mtime);
  header.write(type, TYPE, 'latin1');
  name(TARGET, member.target ?? '');
  header.write('ustar\u000000', MAGIC, 'latin1');
  octal(MAJOR, 7, member.major ?? 0);
  octal(MINOR, 7, member.minor ?? 0);
  // The sum counts its own field as spaces.
  header.fill(' ', SUM, TYPE);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, SUM, 'latin1');
  return header;
}

/** record := LENGTH " " KEY "=" VALUE "\n", LENGTH being that of the whole record */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length;
  return Buffer.concat([Buffer.from(`${length}`), rest]);
}
