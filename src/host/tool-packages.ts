/** Debian's packages of the tools that thinfuse runs. */
const PACKAGES: Readonly<Record<string, string>> = {
  blkid: 'util-linux',
  cp: 'coreutils',
  du: 'coreutils',
  e2fsck: 'e2fsprogs',
  fsfreeze: 'util-linux',
  fstrim: 'util-linux',
  getfattr: 'attr',
  losetup: 'mount',
  'mkfs.ext4': 'e2fsprogs',
  'mkfs.xfs': 'xfsprogs',
  modprobe: 'kmod',
  mount: 'mount',
  'qemu-img': 'qemu-utils',
  resize2fs: 'e2fsprogs',
  skopeo: 'skopeo',
  stat: 'coreutils',
  sync: 'coreutils',
  tar: 'tar',
  thin_restore: 'thin-provisioning-tools',
  tune2fs: 'e2fsprogs',
  umoci: 'umoci',
  umount: 'mount',
  wipefs: 'util-linux',
  xfs_growfs: 'xfsprogs',
  xfs_io: 'xfsprogs',
  // tar runs these itself for compressed archives.
  bzip2: 'bzip2',
  gzip: 'gzip',
  xz: 'xz-utils',
  zstd: 'zstd',
};

/** The package to install, or undefined for a tool that is not ours to know. */
export function packageOf(tool: string): string | undefined {
  return PACKAGES[tool];
}
