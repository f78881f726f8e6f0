import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildProgram } from '../../src/cli/program.js';
import { commandTree, leaves } from '../../src/manual/command-tree.js';
import { eventually } from '../support/eventually.js';
import { Cli, CLI_COMMAND } from '../support/cli.js';
import { hasTool, requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

/** As a person tries them in the course of a pool's life; other lines make what they start from. */
const WALK = `
thinfuse init --data /dev/sdb
thinfuse destroy --yes
thinfuse init --compression zstd
thinfuse destroy --yes
thinfuse init --fs ext4 --base-size 20G --opt dm.min_free_space=5%
thinfuse start --foreground --opt dm.min_free_space=5%
thinfuse destroy --yes
thinfuse init
thinfuse start
thinfuse status --json
thinfuse status --dm
mmdebstrap --variant=minbase bookworm debian.tar && thinfuse image create debian --from debian.tar
thinfuse image create seed --plain --from /var/lib/postgresql/16/main
thinfuse container create web1 --image debian --size 20G
thinfuse container create web2 --image debian
thinfuse container create db --image debian
thinfuse image ls --json
thinfuse image ls --json -o DEV,NAME,MAPPED,EXCLUSIVE_BLOCKS
thinfuse container ls
thinfuse container ls -o DEV,NAME,MAPPED,EXCLUSIVE_BLOCKS
thinfuse snapshot db-before-upgrade db
thinfuse snapshot --ro db-monday db
thinfuse mount db
thinfuse umount db && thinfuse rollback db db-before-upgrade
thinfuse rename db-before-upgrade db-2024
thinfuse grow db 20G
thinfuse grow db +5G
thinfuse quota web1 5G
thinfuse quota web1 none
thinfuse limit web1 5G
thinfuse limit web1 none
thinfuse label db team=shop until=2027-01-31
thinfuse label db until-
thinfuse ls -q --filter label=team=shop
thinfuse snapshot db-before-upgrade db
thinfuse snapshot scratch db
thinfuse rm db-before-upgrade scratch
thinfuse snapshot scratch db
thinfuse rm scratch && thinfuse wait && thinfuse df
thinfuse clone db test-db
thinfuse clone --mount db ci-{1..20}
thinfuse umount --all
thinfuse mount ci-{1..20}
thinfuse umount --all
cd $(thinfuse mount web1)/rootfs
echo written >$THINFUSE_ROOT/mnt/web1/rootfs/written
thinfuse ls | awk '$9 == "mounted" { print $1 }'
thinfuse ls -o DEV,NAME,MAPPED,EXCLUSIVE_BLOCKS
thinfuse diff web1
thinfuse diff web1 web2
thinfuse trim web1
thinfuse trim --all
thinfuse container commit web1 debian-with-nginx
thinfuse umount web1
thinfuse mount --ro debian /mnt
thinfuse umount debian
thinfuse automount db /srv/db -o noatime
thinfuse automount db --off
thinfuse mount db /srv/db --owner 999:999 -o noatime --automount
thinfuse automount db --off
thinfuse automount web1 --on
thinfuse device create vm1 --size 20G && mkfs.ext4 $(thinfuse activate vm1)
qemu-system-x86_64 -drive file=$(thinfuse activate vm1),format=raw
thinfuse deactivate vm1
thinfuse rm vm1
thinfuse import debian-disk debian-12-genericcloud-amd64.qcow2 --image
thinfuse clone debian-disk vm1 vm2 && qemu-system-x86_64 -drive file=$(thinfuse activate vm1),format=raw
thinfuse get
thinfuse get min_free_space
thinfuse set min_free_space=5%
thinfuse set queue_if_no_space=true no_space_timeout=30
thinfuse set cache_size=1G compression=zstd
thinfuse extend +20G
thinfuse extend --max
thinfuse extend --metadata 4G
thinfuse tree
thinfuse tree --dot | dot -Tsvg >tree.svg
thinfuse df
thinfuse df --json | jq '.devices[].exclusive'
thinfuse lsblk
thinfuse info
thinfuse events
thinfuse --json events --past | jq -r .event
thinfuse metrics | grep thinfuse_data
thinfuse iostat
thinfuse iostat 1 10
thinfuse top
thinfuse ui
thinfuse ui --listen 127.0.0.1:9190
thinfuse export web1 | zstd > web1.tar.zst
thinfuse snapshot vm vm2
thinfuse export vm --format qcow2 --output vm.qcow2
thinfuse export --format dm-thin --output /backup/pool
thinfuse export --format lvm --output /dev/sdc
thinfuse snapshot web-monday web1
thinfuse snapshot web-tuesday web1
thinfuse send web-monday | ssh backup thinfuse receive
thinfuse send web-tuesday --since web-monday | ssh backup thinfuse receive
thinfuse send web-monday >web-monday.stream; thinfuse rm web-monday
thinfuse receive --keep-partial < web-monday.stream
thinfuse check --json
thinfuse scrub
thinfuse scrub --json
thinfuse doctor
thinfuse doctor --fix
thinfuse doctor --host
thinfuse dump -o pool.xml
thinfuse dump --format human --dev-id db
thinfuse snapshot web-before web1
thinfuse snapshot web web1
thinfuse dump --format human --dev-id web
thinfuse delta web-before web
thinfuse delta web-before web --json
thinfuse rmap --region 4..5
thinfuse rmap --region 0..100 --json
thinfuse reserve
thinfuse dump --metadata-snap
thinfuse reserved
thinfuse release 1
thinfuse release --all
thinfuse metadata-size -b 64k -s 100g -m 1000 -u m
thinfuse completion bash >/etc/bash_completion.d/thinfuse
thinfuse completion zsh >/usr/local/share/zsh/site-functions/_thinfuse
thinfuse completion fish >/usr/share/fish/vendor_completions.d/thinfuse.fish
thinfuse manual | man -l -
thinfuse schema ls
thinfuse schema >thinfuse.schema.json
thinfuse check --metadata /dev/vg/pool_tmeta
thinfuse dump --metadata /dev/vg/pool_tmeta
thinfuse metadata-pack -i /dev/vg/pool_tmeta -o pool.pack
thinfuse metadata-unpack -i pool.pack -o metadata
truncate -s 64M mended; cp metadata broken
thinfuse repair --metadata broken --output mended
thinfuse legacy ls --metadata /dev/vg/pool_tmeta --data /dev/vg/pool_tdata
cp metadata meta; ln -s /dev/vg/pool_tdata data
thinfuse legacy mount --metadata meta --data data 3 /mnt --image
umount /mnt
thinfuse legacy export --metadata meta --data data 3 --format raw --output vm.img
thinfuse rm vm
thinfuse legacy import --metadata meta --data data 3 --name vm
thinfuse mount web1
thinfuse container rm --force web1
thinfuse image rm debian
thinfuse wait
thinfuse dump -o pool.xml
thinfuse stop
thinfuse check --auto-repair
thinfuse repair --output /var/lib/thinfuse-new
thinfuse repair --accept-older
thinfuse restore -i pool.xml --replace
thinfuse start --supervised
thinfuse restart
thinfuse stop
`
  .trim()
  .split('\n');

/** Those that stay until they are told to end. */
const FOLLOW = /^thinfuse (start --foreground|events$|top$)/;

/** They need what this machine lacks, or change what belongs to all of it. Where they are run. */
const ELSEWHERE: Readonly<Record<string, RegExp>> = {
  'test/e2e/containerd.test.ts, volumes.test.ts': /^thinfuse start --snapshotter /,
  'test/e2e/remote.test.ts, against a registry and an S3': /(s3|oci):\/\/|^thinfuse hydrate |--remote$/,
  'test/e2e/doctor-host.test.ts': /^thinfuse doctor --containerd$/,
  'test/e2e/legacy-page.test.ts': /devicemapper/,
  'test/cli/metadata-tools.test.ts, legacy.test.ts; test/pool/damage-direct.test.ts':
    /^thinfuse (restore -i pool.xml$|repair --accept-data|discard|shrink|set-transaction-id)/,
};

const PROGRAMS: Readonly<Record<string, string>> = {
  thinfuse: `exec ${CLI_COMMAND.map((word) => `'${word}'`).join(' ')} "$@"`,
  'qemu-system-x86_64': 'test -w "$(expr "$2" : \'file=\\(.*\\),format=raw\')"',
  ssh: 'shift; THINFUSE_ROOT=$BACKUP exec "$@"',
  mmdebstrap: 'mkdir -p etc && for last; do :; done && tar -cf "$last" etc',
};
/** Read what they are given, where the machine has them not. */
const READERS = ['jq', 'dot', 'man'];

describe('end to end: the examples of the help', function () {
  this.timeout(900_000);
  requireMounts(['mkfs.xfs', 'mkfs.ext4', 'qemu-img', 'zstd']);
  const scratch = useScratch();
  const at = (...names: string[]): string => scratch.current.at(...names);
  let env: NodeJS.ProcessEnv;
  let places: readonly (readonly [string, string])[];

  before(async () => {
    const [cli, backup] = [new Cli(scratch.current), new Cli(scratch.current, 'backup-root')];
    for (const folder of ['bin', 'work', 'postgres', 'mnt', 'srv', 'shells']) await mkdir(at(folder));
    await writeFile(at('postgres/PG_VERSION'), '16\n');
    for (const [name, text] of Object.entries(PROGRAMS)) await program(name, text);
    for (const name of READERS) if (!(await hasTool(name))) await program(name, 'exec cat >/dev/null');
    await run('qemu-img', ['create', '-f', 'qcow2', at('work/debian-12-genericcloud-amd64.qcow2'), '1G']);
    await backup.run('init', '--base-size', '320M');
    env = {
      ...process.env,
      PATH: `${at('bin')}:${process.env['PATH'] ?? ''}`,
      THINFUSE_ROOT: cli.root,
      BACKUP: backup.root,
    };
    places = [
      ['/dev/sdb', await disk('sdb')],
      ['/dev/sdc', await disk('sdc')],
      ['/var/lib/postgresql/16/main', at('postgres')],
      ['/var/lib/thinfuse-new', at('new')],
      ['/srv/db', at('srv')],
      ['/dev/vg/pool_tmeta', at('pool/metadata')],
      ['/dev/vg/pool_tdata', at('pool/data')],
      ['/backup/pool', at('pool')],
      ['/etc/bash_completion.d', at('shells')],
      ['/usr/local/share/zsh/site-functions', at('shells')],
      ['/usr/share/fish/vendor_completions.d', at('shells')],
      [' /mnt', ` ${at('mnt')}`],
      [':9190', ':0'],
    ];
  });

  async function program(name: string, text: string): Promise<void> {
    await writeFile(at('bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  }

  async function disk(name: string): Promise<string> {
    await writeFile(at(name), '');
    await truncate(at(name), 256 * 2 ** 30);
    return scratch.current.attach(at(name), { directIo: false });
  }

  const here = (line: string): string =>
    places.reduce((text, [there, place]) => text.replaceAll(there, place), line);
  const shell = ['-eo', 'pipefail', '-c'];

  async function follow(line: string): Promise<void> {
    const child = spawn('bash', [...shell, `exec ${here(line)}`], { env, cwd: at('work') });
    scratch.current.defer(() => child.kill());
    const said = text(child.stderr);
    const shown = Promise.race([once(child.stdout, 'data'), once(child, 'exit')]).then(() => true);
    child.stdout.resume();
    // What follows events shows nothing until there is one.
    if (line.endsWith('events'))
      await eventually('an event is shown', async () => {
        await run('bash', [...shell, 'thinfuse set min_free_space=5%'], { env });
        return Promise.race([shown, sleep(100, false)]);
      });
    await shown;
    child.kill('SIGINT');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
    assert.ok(
      [0, 130].includes(child.exitCode ?? 130),
      `${line} ended with ${child.exitCode}: ${await said}`,
    );
  }

  it('are all run by some test', async () => {
    const examples = leaves(commandTree(await buildProgram())).flatMap((command) => {
      assert.ok(command.examples.length > 0, `${command.path.join(' ')} has an example`);
      return command.examples;
    });
    const isElsewhere = (line: string): boolean =>
      Object.values(ELSEWHERE).some((pattern) => pattern.test(line));
    assert.deepEqual(
      examples.filter((line) => !WALK.includes(line) && !isElsewhere(line)),
      [],
    );
  });

  it('work as they are printed', async () => {
    for (const line of WALK) {
      if (FOLLOW.test(line)) await follow(line);
      else {
        const { code, stdout, stderr } = await tryRun('bash', [...shell, here(line)], {
          env,
          cwd: at('work'),
        });
        assert.equal(code, 0, `${line} ended with ${code}\n${stdout.slice(-500)}\n${stderr}`);
      }
    }
  });
});
