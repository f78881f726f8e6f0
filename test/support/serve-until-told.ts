/**
 * A process of its own that serves one image: `node --import tsx serve-until-told.ts KIND MOUNTPOINT`; a line
 * on stdin ends it, with exit code 3.
 */
import { FuseNativeTransport } from '../../src/fuse/fuse-native-transport.js';
import { KernelTransport } from '../../src/fuse/kernel-transport.js';
import { MemoryDirectory } from '../../src/testing/memory-image.js';

const [kind, mountPoint = ''] = process.argv.slice(2);
const directory = new MemoryDirectory();
directory.add('a', 1024 ** 2);
const transport =
  kind === 'kernel'
    ? new KernelTransport(mountPoint, directory)
    : new FuseNativeTransport(mountPoint, directory);
await transport.mount();
process.stdin.once('data', () => process.exit(3));
process.stdout.write('mounted\n');
