import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { Cli } from '../support/cli.js';
import { eventually } from '../support/eventually.js';
import { requireMounts, useScratch } from '../support/mounts.js';

const PAGE = 4096;
const SPAN = 64 * 2 ** 20;
/** Chunks that each writer has provisioned when the daemon is killed. */
const ENOUGH = 20;
const CHUNK = 65536;
const FILL = 0x5a;

/**
 * How fio writes: each write durable when it returns, each block once. What it tells of completed ones is
 * what was acknowledged.
 */
const FIO = {
  dsync: ['--ioengine=psync', '--sync=dsync'],
  osync: ['--ioengine=psync', '--sync=sync'],
  uring: ['--ioengine=io_uring', '--sync=dsync', '--iodepth=4'],
} as const;

/** Writes pages through a shared mapping, and says the number of each when msync(2) has returned. */
const MAPPED = `
import mmap, os, random, sys
file = os.open(sys.argv[1], os.O_RDWR)
span = int(sys.argv[2])
memory = mmap.mmap(file, span)
pages = list(range(span // 4096))
random.shuffle(pages)
for page in pages:
    memory[page * 4096:(page + 1) * 4096] = bytes([${FILL}]) * 4096
    memory.flush(page * 4096, 4096)
    print(page, flush=True)
`;

/** Writes pages, each durable for itself (RWF_DSYNC), and says the number of each when it is answered. */
const FLAGGED = `
import os, random, sys
file = os.open(sys.argv[1], os.O_RDWR)
pages = list(range(int(sys.argv[2]) // 4096))
random.shuffle(pages)
for page in pages:
    os.pwritev(file, [bytes([${FILL}]) * 4096], page * 4096, os.RWF_DSYNC)
    print(page, flush=True)
`;

interface Writer {
  readonly device: string;
  readonly child: ChildProcess;
  /** Offsets, when it has ended. */
  readonly acknowledged: () => Promise<readonly number[]>;
}

describe('end to end: writes that are durable when they return, and a daemon that is killed', function () {
  this.timeout(300_000);
  requireMounts(['mkfs.ext4', 'fio', 'python3']);
  const scratch = useScratch();
  let fios = 0;

  for (const [kind, transport] of [
    ['leveldb', 'kernel'],
    ['direct', 'kernel'],
    ['leveldb', 'fuse-native'],
    ['direct', 'fuse-native'],
  ] as const)
    it(`are all there (${kind}, ${transport})`, async () => {
      const name = `${kind}-${transport}`;
      const cli = new Cli(scratch.current, name);
      const data = kind === 'direct' ? ['--data', scratch.current.at(`${name}.img`)] : [];
      await cli.run('init', '--fs', 'ext4', '--base-size', '256M', '--data-size', '4G', ...data);
      await cli.run('start', '--transport', transport);
      const places = new Map<string, string>();
      // libfuse does not hand on the flags of a single write.
      const flagged = transport === 'kernel' ? ['flagged'] : [];
      for (const device of [...Object.keys(FIO), 'fua', 'mapped', ...flagged]) {
        await cli.call('device.createThin', {
          name: device,
          kind: 'snapshot',
          filesystem: 'ext4',
          size: SPAN,
        });
        places.set(device, (await cli.call('activate', { name: device })).path);
      }
      const place = (device: string): string => places.get(device) ?? '';
      const fua = await scratch.current.attach(place('fua'));
      const loop = await scratch.current.attach(place('mapped'));
      const writers = [
        ...Object.entries(FIO).map(([device, how]) => byFio(device, place(device), how)),
        // FUA, where the kernel's loop has direct I/O.
        byFio('fua', fua, [...FIO.dsync, '--direct=1']),
        byPython('mapped', MAPPED, loop),
        ...flagged.map((device) => byPython(device, FLAGGED, place(device))),
      ];
      await eventually('all of them have written', async () => {
        for (const { device, child } of writers) {
          assert.equal(child.exitCode, null, `${device} ended too soon`);
          const { mapped } = await cli.call('device.get', { name: device });
          if (mapped < ENOUGH * CHUNK) return false;
        }
        return true;
      });
      await cli.kill();
      const durable = new Map<string, readonly number[]>();
      for (const { device, acknowledged } of writers) durable.set(device, await acknowledged());
      for (const device of [fua, loop]) await scratch.current.detach(device);

      await cli.run('start', '--transport', transport);
      for (const [device, offsets] of durable) {
        assert(offsets.length > 0, `${device} was told of nothing`);
        const { path: image } = await cli.call('activate', { name: device });
        const file = await open(image);
        const page = Buffer.alloc(PAGE);
        const lost: number[] = [];
        for (const offset of offsets) {
          await file.read(page, 0, PAGE, offset);
          if (!page.every((byte) => byte === FILL)) lost.push(offset);
        }
        await file.close();
        assert.deepEqual(lost, [], `${device}: lost of ${offsets.length}`);
      }
      assert.equal((await cli.call('pool.check', {})).ok, true);
      await cli.run('stop');
    });

  function byFio(device: string, file: string, how: readonly string[]): Writer {
    // A colon would end the name of a file.
    const filename = file.replaceAll(':', '\\:');
    const log = scratch.current.at(`fio-${fios++}`);
    const child = scratch.current.start('fio', [
      ...[`--name=${device}`, `--filename=${filename}`, '--rw=randwrite', '--bs=4k', `--size=${SPAN}`],
      ...[`--buffer_pattern=0x${FILL.toString(16)}`, `--write_lat_log=${log}`, '--log_offset=1'],
      ...how,
    ]);
    return {
      device,
      child,
      acknowledged: async () => {
        await ended(child);
        const name = (await readdir(scratch.current.root)).find((one) =>
          one.startsWith(`${path.basename(log)}_clat`),
        );
        assert(name !== undefined, `${device} left no log`);
        // Time, latency, direction, length, offset.
        const lines = (await readFile(scratch.current.at(name), 'utf8')).trim().split('\n');
        return lines.map((line) => Number(line.split(',')[4])).filter((offset) => !Number.isNaN(offset));
      },
    };
  }

  function byPython(device: string, program: string, file: string): Writer {
    const child = scratch.current.start('python3', ['-c', program, file, `${SPAN}`], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let said = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (said += text));
    return {
      device,
      child,
      acknowledged: async () => {
        await ended(child);
        return said
          .split('\n')
          .slice(0, -1)
          .map((line) => Number(line) * PAGE);
      },
    };
  }

  async function ended(child: ChildProcess): Promise<void> {
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close');
  }
});
