/** Distributions whose packages the table names. */
export const DISTRIBUTIONS = ['debian', 'fedora', 'alpine'] as const;
export type Distribution = (typeof DISTRIBUTIONS)[number];

/**
 * `required`: thinfuse runs it for what everybody does with a pool. `optional`: thinfuse runs it for one
 * command or setting. `advised`: only messages and documents name it. `scripts`: only the scripts and tests
 * of a checkout run it.
 */
export type ToolNeed = 'required' | 'optional' | 'advised' | 'scripts';

export interface HostToolFacts extends Readonly<Record<Distribution, string>> {
  readonly need: ToolNeed;
  /** What for, to follow a colon. */
  readonly purpose: string;
}

/** `-`: the distribution has no package of it. */
const NONE = '-';

/** Packages: Debian's, and where they have other names Fedora's and Alpine's. */
function tool(
  need: ToolNeed,
  purpose: string,
  debian: string,
  fedora = debian,
  alpine = fedora,
): HostToolFacts {
  return { need, purpose, debian, fedora, alpine };
}

const coreutils = (need: ToolNeed, purpose: string): HostToolFacts => tool(need, purpose, 'coreutils');
const utilLinux = (need: ToolNeed, purpose: string): HostToolFacts => tool(need, purpose, 'util-linux');
const mountTool = (need: ToolNeed, purpose: string): HostToolFacts =>
  tool(need, purpose, 'mount', 'util-linux');
/** Alpine has the rarer programs of a filesystem apart. */
const extra = (need: ToolNeed, purpose: string, name: 'xfsprogs' | 'e2fsprogs'): HostToolFacts =>
  tool(need, purpose, name, name, `${name}-extra`);
const thinTool = (need: ToolNeed, purpose: string): HostToolFacts =>
  tool(need, purpose, 'thin-provisioning-tools', 'device-mapper-persistent-data', 'thin-provisioning-tools');

const TOOLS = {
  blkid: tool('required', 'telling filesystems apart', 'util-linux', 'util-linux', 'blkid'),
  chroot: coreutils('optional', 'push --trace'),
  du: coreutils('required', 'progress of images and exports'),
  fallocate: utilLinux('required', 'the reserve of disk space, and holes'),
  fsfreeze: utilLinux('required', 'snapshots of mounted devices'),
  fstrim: utilLinux('required', 'thinfuse trim'),
  getfattr: tool('required', 'thinfuse diff', 'attr'),
  losetup: mountTool('required', 'loop devices'),
  mkfifo: coreutils('required', 'images from a folder'),
  'mkfs.xfs': tool('required', 'xfs, the filesystem of a pool unless told', 'xfsprogs'),
  mount: mountTool('required', 'FUSE and filesystems'),
  perl: tool('required', 'thawing a filesystem whose daemon died', 'perl-base', 'perl-interpreter', 'perl'),
  sh: tool('required', 'looking for tools', 'dash', 'bash', 'busybox'),
  stat: coreutils('required', 'devices that grow'),
  sync: coreutils('required', 'snapshots of mounted devices'),
  tar: tool('required', 'images and exports as tar', 'tar'),
  umount: mountTool('required', 'FUSE and filesystems'),
  wipefs: utilLinux('required', 'init --data --force'),
  xfs_growfs: extra('required', 'xfs devices that grow', 'xfsprogs'),
  xfs_io: extra('required', 'space that a direct pool gives back to its file', 'xfsprogs'),

  blkdiscard: utilLinux('optional', 'thinfuse discard on a disk'),
  bzip2: tool('optional', 'images as .tar.bz2', 'bzip2'),
  dmesg: utilLinux('advised', 'what the kernel says of a failure'),
  dmsetup: tool('advised', 'old pools that the kernel has open', 'dmsetup', 'device-mapper'),
  e2fsck: tool('optional', 'ext4 devices that grow', 'e2fsprogs'),
  filefrag: extra('optional', 'files that lost data of an old pool is in', 'e2fsprogs'),
  fuser: tool('advised', 'the processes that keep something busy', 'psmisc'),
  fusermount: tool('optional', 'start --transport fuse-native', 'fuse'),
  grep: tool('advised', 'the processes that keep something busy', 'grep'),
  gzip: tool('optional', 'images as .tar.gz', 'gzip'),
  'libfuse.so.2': tool('optional', 'start --transport fuse-native', 'libfuse2', 'fuse-libs', 'fuse'),
  lsblk: utilLinux('advised', 'the processes that keep something busy'),
  lzma: tool('optional', 'images as .tar.lzma', 'xz-utils', 'xz-lzma-compat', 'xz'),
  man: tool('advised', 'the manual page', 'man-db', 'man-db', 'mandoc'),
  'mkfs.ext4': tool('optional', "pools with --fs ext4, and containerd's layers", 'e2fsprogs'),
  modprobe: tool('advised', 'loading fuse, loop and xfs where the kernel has not', 'kmod'),
  'qemu-img': tool('optional', 'disk images: import, and export --format qcow2', 'qemu-utils', 'qemu-img'),
  resize2fs: extra('optional', 'ext4 devices that grow', 'e2fsprogs'),
  skopeo: tool('advised', 'fetching images', 'skopeo'),
  ssh: tool(
    'advised',
    'sending to another machine',
    'openssh-client',
    'openssh-clients',
    'openssh-client-default',
  ),
  'systemd-notify': tool('optional', 'the systemd service', 'systemd', 'systemd', NONE),
  taskset: utilLinux('optional', 'images of pools with --fs ext4'),
  thin_dump: thinTool('advised', 'looking into the metadata of old pools'),
  thin_restore: thinTool('advised', 'reading what export --format dm-thin writes'),
  tune2fs: extra('optional', "pools with --fs ext4, and containerd's layers", 'e2fsprogs'),
  umoci: tool('optional', 'images that are OCI layouts or what docker save wrote', 'umoci'),
  xz: tool('optional', 'images as .tar.xz', 'xz-utils', 'xz'),
  zstd: tool('optional', 'images as .tar.zst', 'zstd'),

  awk: tool('scripts', 'scripts', 'mawk', 'gawk'),
  blockdev: utilLinux('scripts', 'tests'),
  busybox: tool('scripts', 'trials of containers', 'busybox-static', 'busybox'),
  capsh: tool('scripts', 'scripts/docker-trial.sh', 'libcap2-bin', 'libcap', 'libcap-utils'),
  cmp: tool('scripts', 'tests', 'diffutils'),
  containerd: tool('scripts', 'scripts/containerd.sh', 'containerd'),
  cpio: tool('scripts', 'scripts/vm.sh, scripts/dm-thin-kernel.sh', 'cpio'),
  ctr: tool('scripts', 'scripts/containerd.sh', 'containerd', 'containerd', 'containerd-ctr'),
  debootstrap: tool('scripts', 'a Debian root', 'debootstrap'),
  docker: tool('scripts', 'trials with Docker', 'docker.io', 'docker-cli'),
  depmod: tool('scripts', 'scripts/vm.sh, scripts/dm-thin-kernel.sh', 'kmod'),
  dockerd: tool('scripts', 'trials with Docker', 'docker.io', 'moby-engine', 'docker-engine'),
  'dpkg-deb': tool('scripts', 'scripts/vm.sh, scripts/dm-thin-kernel.sh', 'dpkg'),
  findmnt: utilLinux('scripts', 'scripts'),
  fio: tool('scripts', 'tests and measurements', 'fio'),
  fish: tool('scripts', 'tests', 'fish'),
  flock: utilLinux('scripts', 'scripts/fresh.sh'),
  git: tool('scripts', 'scripts/fresh.sh, measurements', 'git'),
  go: tool('scripts', 'scripts/containerd-conformance.sh', 'golang-go', 'golang', 'go'),
  ldconfig: tool('scripts', 'scripts', 'libc-bin', 'glibc', 'musl-utils'),
  mandoc: tool('scripts', 'tests', 'mandoc'),
  mmdebstrap: tool('scripts', 'a Debian root', 'mmdebstrap', 'mmdebstrap', NONE),
  nbdfuse: tool('scripts', 'measurements', 'libnbd-bin', 'nbdfuse', NONE),
  nbdkit: tool('scripts', 'measurements', 'nbdkit', 'nbdkit', NONE),
  npm: tool('scripts', 'installing', 'npm', 'nodejs-npm', 'npm'),
  nsenter: utilLinux('scripts', 'scripts/systemd.sh'),
  pgrep: tool('scripts', 'scripts/systemd.sh', 'procps', 'procps-ng'),
  pivot_root: utilLinux('scripts', 'scripts/fresh.sh'),
  podman: tool('scripts', 'scripts/volumes.sh', 'podman'),
  python3: tool('scripts', 'tests', 'python3'),
  'qemu-storage-daemon': tool('scripts', 'measurements', 'qemu-system-common', 'qemu-img', 'qemu'),
  'qemu-system-x86_64': tool(
    'scripts',
    'scripts/vm.sh, scripts/dm-thin-kernel.sh',
    'qemu-system-x86',
    'qemu-system-x86-core',
    'qemu-system-x86_64',
  ),
  runc: tool('scripts', 'trials of containers', 'runc'),
  setcap: tool('scripts', 'tests', 'libcap2-bin', 'libcap', 'libcap-setcap'),
  setfacl: tool('scripts', 'tests', 'acl'),
  setfattr: tool('scripts', 'tests', 'attr'),
  setpriv: utilLinux('scripts', 'tests'),
  'systemd-nspawn': tool('scripts', 'scripts/systemd.sh', 'systemd-container', 'systemd-container', NONE),
  thin_check: thinTool('scripts', 'tests'),
  cp: coreutils('scripts', 'measurements'),
  truncate: coreutils('scripts', 'tests and measurements'),
  unshare: utilLinux('scripts', 'scripts/fresh.sh, tests'),
  xfs_repair: tool('scripts', 'tests', 'xfsprogs'),
  zsh: tool('scripts', 'tests', 'zsh'),
} as const satisfies Readonly<Record<string, HostToolFacts>>;

/** A program of the host, or a library that one of ours loads, by its name. */
export type HostTool = keyof typeof TOOLS;

/**
 * Every tool that thinfuse and its scripts start, or tell people to. `npm run tables` writes what documents
 * and scripts have of it.
 */
export const HOST_TOOLS: Readonly<Record<HostTool, HostToolFacts>> = TOOLS;

export function isHostTool(name: string): name is HostTool {
  return Object.hasOwn(HOST_TOOLS, name);
}

/** By name, of one need. */
export function toolsOfNeed(need: ToolNeed): readonly HostTool[] {
  return Object.keys(HOST_TOOLS)
    .filter(isHostTool)
    .filter((name) => HOST_TOOLS[name].need === need);
}

/** The packages of these tools, each once, in order. */
export function packagesOf(tools: readonly HostTool[], distribution: Distribution): readonly string[] {
  const names = new Set(tools.map((name) => HOST_TOOLS[name][distribution]));
  names.delete(NONE);
  return [...names].sort();
}
