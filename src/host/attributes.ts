import { ThinError } from '../errors/thin-error.js';
import type { Exec } from './exec.js';
import { unescapeOctal } from '../format/mount-info.js';

/**
 * Extended attributes by path from the tree's root, paths as byte strings (one character a byte); only paths
 * that have some.
 */
export type AttributeTable = ReadonlyMap<string, string>;

/**
 * Reads the extended attributes of a whole tree in one go, ACLs and file capabilities included, with
 * getfattr. Errors: missing-tool, tool-failed.
 */
export async function readAttributes(exec: Exec, root: string): Promise<AttributeTable> {
  const parser = new AttributeParser();
  // Exit code 1: a file vanished meanwhile, or does not support attributes.
  await exec.run(
    'getfattr',
    ['--recursive', '--physical', '--no-dereference', '--dump', '--match=-', '--encoding=hex', '--', '.'],
    {
      cwd: root,
      okCodes: [0, 1],
      onStdout: (piece) => {
        parser.add(piece.toString('latin1'));
      },
    },
  );
  return parser.end();
}

/** Together far below what the kernel takes as arguments (128 KiB each, 2 MiB in all). */
const PATHS_PER_RUN = 500;

/**
 * The values of one extended attribute of these paths of a tree; only those that have it. Links are not
 * followed. Errors: missing-tool, tool-failed, unsupported (a path is no UTF-8, which no argument of a tool
 * can be).
 */
export async function readAttribute(
  exec: Exec,
  root: string,
  name: string,
  paths: readonly string[],
): Promise<ReadonlyMap<string, Uint8Array>> {
  const found = new Map<string, Uint8Array>();
  const shown = paths.map((path) => `.${shownPath(path)}`);
  for (let from = 0; from < shown.length; from += PATHS_PER_RUN) {
    const parser = new AttributeParser();
    const match = `--match=^${name.replaceAll('.', '\\.')}$`;
    await exec.run(
      'getfattr',
      [
        ...['--no-dereference', '--dump', match, '--encoding=hex', '--'],
        ...shown.slice(from, from + PATHS_PER_RUN),
      ],
      {
        cwd: root,
        okCodes: [0, 1],
        onStdout: (piece) => {
          parser.add(piece.toString('latin1'));
        },
      },
    );
    for (const [path, text] of parser.end()) found.set(path, Buffer.from(text.slice(name.length + 3), 'hex'));
  }
  return found;
}

function shownPath(path: string): string {
  const bytes = Buffer.from(path, 'latin1');
  const text = bytes.toString('utf8');
  if (Buffer.from(text).equals(bytes)) return text;
  throw new ThinError(
    'unsupported',
    `the name ${JSON.stringify(text)} is no UTF-8, so getfattr cannot be given it`,
  );
}

/** xfs shows ACLs a second time in its own format. */
const MIRRORED = /^trusted\.SGI_ACL_(FILE|DEFAULT)=/;

/** Understands getfattr's dump: a line `# file: PATH`, then `NAME=0xHEX` lines, then an empty one. */
export class AttributeParser {
  readonly #table = new Map<string, string>();
  #rest = '';
  #path = '';
  #attributes: string[] = [];

  add(text: string): void {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) this.#line(line);
  }

  end(): AttributeTable {
    this.add('\n\n');
    return this.#table;
  }

  #line(line: string): void {
    const mark = '# file: ';
    if (line === '') this.#finish();
    else if (line.startsWith(mark)) this.#path = unescapeOctal(line.slice(mark.length));
    else if (!MIRRORED.test(line)) this.#attributes.push(line);
  }

  #finish(): void {
    // The order of attributes is that of the filesystem's own lists.
    if (this.#attributes.length > 0)
      this.#table.set(this.#path === '.' ? '' : `/${this.#path}`, this.#attributes.sort().join('\n'));
    this.#attributes = [];
  }
}
