import { createInterface } from 'node:readline';
import { FuseNativeTransport } from '../../src/fuse/fuse-native-transport.js';
import { MemoryDirectory } from '../../src/testing/memory-image.js';

/**
 * `fuse-server MOUNTPOINT NAME=BYTES...`: serves images in memory until it is killed; a line `NAME=BYTES`
 * makes one grow.
 */
const [mountPoint = '', ...images] = process.argv.slice(2);
const directory = new MemoryDirectory();
for (const image of images) directory.add(...parse(image));
const transport = new FuseNativeTransport(mountPoint, directory);
await transport.mount();
process.stdout.write('serving\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [name, size] = parse(line);
  const image = directory.files.get(name);
  if (image !== undefined) Object.assign(image, { size });
  process.stdout.write('grown\n');
}
await transport.unmount();
process.exit(0);

function parse(text: string): [string, number] {
  const [name = '', size] = text.split('=');
  return [name, Number(size)];
}
