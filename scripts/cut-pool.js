// Cuts images of filesystems into an old pool, as dm-thin would have left it: the data file, its blocks in
// scattered order, and the XML that thin_restore makes the metadata of. For the tests and for legacy.sh.
//
//   node scripts/cut-pool.js < POOL.json        { data, xml, blockSize, dataBlocks, time, transaction, devices: [...] }
//
// A device is { id, image, origin, creationTime, snapTime, transaction }; where it has the bytes of its
// origin, it shares the block.

import { Buffer } from 'node:buffer';
import {
  closeSync,
  ftruncateSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from 'node:fs';

const SECTOR = 512;
/**
 * A prime: coprime to any number of blocks that is not a multiple of it, so that all places are taken once.
 */
const STRIDE = 7919;

const pool = JSON.parse(readFileSync(0, 'utf8'));
const data = openSync(pool.data, 'w');
ftruncateSync(data, pool.dataBlocks * pool.blockSize);

let taken = 0;
function allocate(bytes) {
  if (taken === pool.dataBlocks) throw new Error('the data file is full');
  const place = (taken++ * STRIDE) % pool.dataBlocks;
  writeSync(data, bytes, 0, bytes.length, place * pool.blockSize);
  return place;
}

const mappings = new Map();
for (const device of pool.devices) {
  const inherited = mappings.get(device.origin);
  const own = new Map();
  mappings.set(device.id, own);
  const image = openSync(device.image, 'r');
  const base = device.origin === undefined ? undefined : openSync(imageOf(device.origin), 'r');
  const size = fstatSync(image).size;
  for (let block = 0; block * pool.blockSize < size; block++) {
    const bytes = read(image, block);
    const before = inherited?.get(block);
    if (before !== undefined && base !== undefined && bytes.equals(read(base, block))) own.set(block, before);
    else if (bytes.some((byte) => byte !== 0))
      own.set(block, { place: allocate(bytes), time: device.creationTime });
  }
  closeSync(image);
  if (base !== undefined) closeSync(base);
}
closeSync(data);

const lines = pool.devices.flatMap(({ id, transaction, creationTime, snapTime }) => [
  `  <device dev_id="${id}" mapped_blocks="${mappings.get(id).size}" transaction="${transaction}" creation_time="${creationTime}" snap_time="${snapTime}">`,
  ...[...mappings.get(id)].map(
    ([block, { place, time }]) =>
      `    <single_mapping origin_block="${block}" data_block="${place}" time="${time}"/>`,
  ),
  '  </device>',
]);
writeFileSync(
  pool.xml,
  [
    `<superblock uuid="" time="${pool.time}" transaction="${pool.transaction}" flags="0" version="2" data_block_size="${pool.blockSize / SECTOR}" nr_data_blocks="${pool.dataBlocks}">`,
    ...lines,
    '</superblock>\n',
  ].join('\n'),
);

function imageOf(id) {
  return pool.devices.find((device) => device.id === id).image;
}

function read(fd, block) {
  const bytes = Buffer.alloc(pool.blockSize);
  readSync(fd, bytes, 0, pool.blockSize, block * pool.blockSize);
  return bytes;
}
