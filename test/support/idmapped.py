"""What containerd's mount with uidmap= and gidmap= does (core/mount/mount_linux.go), and a root of that user
namespace on it. Arguments: the mount's type, its source, its target, the first user and group on the host,
and a shell script, which runs in the namespace with the target as its folder."""

import ctypes
import os
import subprocess
import sys

kind, source, target, uid, gid, script = sys.argv[1:]
COUNT = 65536
CLONE_NEWUSER, MS_BIND, MS_REC = 0x10000000, 4096, 16384
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
AT_EMPTY_PATH, OPEN_TREE_CLONE, MOVE_MOUNT_F_EMPTY_PATH = 0x1000, 1, 4
MOUNT_ATTR_IDMAP = 0x100000
libc = ctypes.CDLL(None, use_errno=True)


def call(name, result):
    if result < 0:
        raise OSError(ctypes.get_errno(), f'{name}: {os.strerror(ctypes.get_errno())}')
    return result


class MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ('set', 'clear', 'propagation', 'userns')]


ready, made = os.pipe()
mapped, map_it = os.pipe()
child = os.fork()
if child == 0:
    call('unshare', libc.unshare(CLONE_NEWUSER))
    os.write(made, b'x')
    os.read(mapped, 1)
    # Its way there is that of a user who is none in the namespace yet.
    os.chdir(target)
    os.setgid(0)
    os.setuid(0)
    os.execvp('sh', ['sh', '-euc', script])
os.read(ready, 1)
for name, first in (('uid_map', uid), ('gid_map', gid)):
    with open(f'/proc/{child}/{name}', 'w') as file:
        file.write(f'0 {first} {COUNT}')
namespace = os.open(f'/proc/{child}/ns/user', os.O_RDONLY)
bytes_of = os.fsencode
if kind == 'bind':
    call('mount', libc.mount(bytes_of(source), bytes_of(target), None, MS_BIND | MS_REC, None))
else:
    subprocess.run(['mount', '-t', kind, source, target], check=True)
tree = call('open_tree', libc.syscall(OPEN_TREE, -1, bytes_of(target), OPEN_TREE_CLONE))
attr = MountAttr(MOUNT_ATTR_IDMAP, 0, 0, namespace)
size = ctypes.sizeof(attr)
call('mount_setattr', libc.syscall(MOUNT_SETATTR, tree, b'', AT_EMPTY_PATH, ctypes.byref(attr), size))
call('move_mount', libc.syscall(MOVE_MOUNT, tree, b'', -1, bytes_of(target), MOVE_MOUNT_F_EMPTY_PATH))
os.close(tree)
os.write(map_it, b'x')
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
# The mapped one, and the one below it.
for _ in range(2):
    subprocess.run(['umount', target], check=True)
sys.exit(status)
