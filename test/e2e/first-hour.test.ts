import assert from 'node:assert/strict';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { Cli, CLI_COMMAND } from '../support/cli.js';
import { requireMounts, run, useScratch } from '../support/mounts.js';

const TOP = path.resolve(import.meta.dirname, '../..');

/** What the packages of Debian do: installs nothing, and makes a root with a shell in place of a Debian. */
const STUBS = {
  'apt-get': '#!/bin/sh\ncase "$*" in *mmdebstrap*) ;; *) exit 1 ;; esac\n',
  mmdebstrap: `#!/bin/sh -e
for last; do :; done
root=$(mktemp -d)
for file in /bin/sh $(ldd /bin/sh | grep -o '/[^ ]*'); do
  mkdir -p "$root\${file%/*}"
  cp -L "$file" "$root$file"
done
mkdir -p "$root/etc"
tar -C "$root" -cf "$last" .
rm -r "$root"
`,
  thinfuse: `#!/bin/sh\nexec ${CLI_COMMAND.map((word) => `'${word}'`).join(' ')} "$@"\n`,
};

/** What a person types into the shell that the fifth command opens. */
const TYPED = 'echo changed >/etc/motd\nexit\n';

describe('end to end: the first hour of the README', function () {
  this.timeout(600_000);
  requireMounts(['mkfs.xfs', 'chroot', 'getfattr', 'ldd']);
  const scratch = useScratch();

  it('works as it is printed, and is undone as it says', async () => {
    const readme = await readFile(path.join(TOP, 'README.md'), 'utf8');
    const [, chapter = ''] = /^## The first hour\n(.*?)^## /ms.exec(readme) ?? [];
    const blocks = [...chapter.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block!);
    const undo = [...(/^`thinfuse umount.*? undo it\./m.exec(chapter)?.[0] ?? '').matchAll(/`(.*?)`/g)];
    assert.ok(blocks.length > 0 && undo.length > 0, 'the README has its first hour');
    const cli = new Cli(scratch.current);
    const bin = scratch.current.at('bin');
    await mkdir(bin);
    for (const [name, text] of Object.entries(STUBS)) {
      await writeFile(path.join(bin, name), text);
      await chmod(path.join(bin, name), 0o755);
    }
    const typed = scratch.current.at('typed');
    await writeFile(typed, TYPED);
    const execute = (script: string): Promise<string> =>
      run('sh', ['-e', '-c', `exec <"$0"\n${script}`, typed], {
        cwd: scratch.current.root,
        limitMs: 500_000,
        env: {
          ...process.env,
          PATH: `${bin}:${process.env['PATH'] ?? ''}`,
          THINFUSE_ROOT: cli.root,
          TSX_TSCONFIG_PATH: path.join(TOP, 'tsconfig.json'),
        },
      });
    const told = await execute(blocks.join('\n'));
    assert.match(told, /^\S*\s*\/?etc\/motd$/m, 'diff names the file that was made');
    assert.match(told, /web/);
    await execute(undo.map(([, command]) => command!).join('\n'));
    assert.equal((await cli.try('status')).code, 11, 'no daemon runs any more');
    const { ok } = await cli.json<{ ok: boolean }>('check');
    assert.equal(ok, true);
    const names = (await cli.json<{ name: string }[]>('ls')).map(({ name }) => name);
    assert.deepEqual(names.sort(), ['base', 'debian']);
  });
});
