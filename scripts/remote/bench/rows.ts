import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { run } from '../../bench/host.js';
import { script, type Lab, type StoreKind } from './lab.js';
import type { Results } from './results.js';

const MIB = 2 ** 20;

export interface Bench {
  readonly lab: Lab;
  readonly results: Results;
  readonly kind: StoreKind;
  readonly rounds: number;
  readonly roundTrips: readonly number[];
  /** MiB of the device of which 1 % changes. */
  readonly size: number;
  readonly roots: readonly { readonly name: string; readonly tar: string }[];
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

/** Images of every root in host a's pool, and in the store as they are and with a recorded start. */
export async function prepare({ lab, kind, roots, size }: Bench): Promise<void> {
  const large = `${Math.max(4096, Math.ceil(size * 1.15))}M`;
  for (const pool of ['a', 'b']) {
    const host = pool as 'a' | 'b';
    await lab.thinfuse(host, pool, [
      'init',
      '--base-size',
      large,
      '--data',
      `${lab.folder}/data-${pool}`,
      '--data-size',
      `${size * 2 + 12_000}M`,
    ]);
    await lab.thinfuse(host, pool, ['start']);
  }
  const link = await lab.link(kind, 0);
  for (const { name, tar } of roots) {
    await lab.thinfuse('a', 'a', ['image', 'create', name, '--from', tar]);
    await lab.thinfuse('a', 'a', ['push', '--no-anchor', name, `${link.place('images')}:${name}`], link.env);
    await lab.thinfuse(
      'a',
      'a',
      ['push', '--trace', 'true', name, `${link.place('recorded')}:${name}`],
      link.env,
    );
  }
  await link.close();
}

/** A start of what was not here a moment ago, to the end of its first program. */
export async function start(bench: Bench): Promise<void> {
  const { lab, results, kind, rounds, roundTrips, roots } = bench;
  for (const { name, tar } of roots) {
    const layout = path.join(lab.folder, `layout-${name}`);
    await run('umoci', ['init', '--layout', layout]);
    await run('umoci', ['new', '--image', `${layout}:root`]);
    await run('umoci', ['raw', 'add-layer', '--image', `${layout}:root`, tar]);
    await lab.on('a', [
      'skopeo',
      'copy',
      '--dest-tls-verify=false',
      `oci:${layout}:root`,
      `docker://10.77.9.1:5055/skopeo/${name}:root`,
    ]);
    rmSync(layout, { recursive: true });
    for (const trip of roundTrips) {
      const at = `start/${name}/${trip} ms`;
      for (let round = 0; round < rounds; round++) {
        const link = await lab.link(kind, trip);
        const pulled = async (place: string, flags: readonly string[] = []): Promise<void> => {
          await lab.thinfuse(
            'b',
            'b',
            ['pull', ...flags, `${link.place(place)}:${name}`, 'pulled'],
            link.env,
          );
          await startOf(bench);
        };
        results.add(`${at}/lazy`, await seconds(() => pulled('images')), 's');
        await clear(bench);
        link.trips();
        results.add(`${at}/recorded`, await seconds(() => pulled('recorded')), 's');
        results.add(`${at}/recorded trips`, link.trips().sequential, 'trips');
        await clear(bench);
        results.add(`${at}/full`, await seconds(() => pulled('images', ['--full'])), 's');
        await lab.thinfuse('b', 'b', ['rm', '--force', 'c']);
        results.add(`${at}/local`, await seconds(() => startOf(bench)), 's');
        await clear(bench);
        await link.close();
        results.add(`${at}/skopeo`, await unpacked(bench, name, trip), 's');
      }
    }
  }
}

async function startOf({ lab }: Bench): Promise<void> {
  await lab.thinfuse('b', 'b', ['container', 'create', 'c', '--image', 'pulled']);
  await lab.thinfuse('b', 'b', ['mount', 'c']);
  await run('chroot', [`${lab.pool('b')}/mnt/c/rootfs`, '/bin/sh', '-c', 'true']);
}

async function clear({ lab }: Bench): Promise<void> {
  for (const name of ['c', 'pulled']) await lab.thinfuse('b', 'b', ['rm', '--force', name]);
}

async function unpacked({ lab }: Bench, name: string, trip: number): Promise<number> {
  const link = await lab.link('oci', trip);
  const [layout, bundle] = ['layout', 'bundle'].map((each) => path.join(lab.folder, each)) as [
    string,
    string,
  ];
  const took = await seconds(async () => {
    await lab.on('b', [
      'skopeo',
      'copy',
      '--src-tls-verify=false',
      `docker://${link.host}/skopeo/${name}:root`,
      `oci:${layout}:root`,
    ]);
    await run('umoci', ['unpack', '--image', `${layout}:root`, bundle]);
    await run('chroot', [`${bundle}/rootfs`, '/bin/sh', '-c', 'true']);
  });
  for (const each of [layout, bundle]) rmSync(each, { recursive: true });
  await link.close();
  return took;
}

/** All of an image: before it is there, and in the background. */
export async function fetch(bench: Bench): Promise<void> {
  const { lab, results, kind, rounds, roundTrips, roots } = bench;
  const { name } = roots.at(-1)!;
  for (const trip of roundTrips) {
    const link = await lab.link(kind, trip);
    const at = `fetch/${name}/${trip} ms`;
    const url = `${link.place('images')}:${name}`;
    const plain = [...script('bench/plain.ts'), 'get', kind, link.host, 'images', name];
    for (let round = 0; round < rounds; round++) {
      results.add(`${at}/plain gets`, await seconds(() => lab.on('b', plain)), 's');
      results.add(
        `${at}/pull --full`,
        await seconds(() => lab.thinfuse('b', 'b', ['pull', '--full', url, 'pulled'], link.env)),
        's',
      );
      await lab.thinfuse('b', 'b', ['rm', 'pulled']);
      await lab.thinfuse('b', 'b', ['pull', url, 'pulled'], link.env);
      results.add(
        `${at}/hydrate`,
        await seconds(() => lab.thinfuse('b', 'b', ['hydrate', '--wait', 'pulled'])),
        's',
      );
      await lab.thinfuse('b', 'b', ['rm', 'pulled']);
    }
    await link.close();
  }
}

/** A first image into a place that has none. */
export async function push(bench: Bench): Promise<void> {
  const { lab, results, kind, rounds, roundTrips, roots } = bench;
  const { name } = roots.at(-1)!;
  // The same bytes, without the holes: tar leaves them out.
  const image = (await lab.thinfuse('a', 'a', ['activate', name])).trim();
  const dense = path.join(lab.folder, 'dense.tar');
  await run('tar', ['-S', '-cf', dense, image], { timeoutMs: 3_600_000 });
  await lab.thinfuse('a', 'a', ['deactivate', name]);
  for (const trip of roundTrips) {
    const link = await lab.link(kind, trip);
    const at = `push/${name}/${trip} ms`;
    for (let round = 0; round < rounds; round++) {
      const to = `push-${trip}-${round}`;
      const put = [...script('bench/plain.ts'), 'put', kind, link.host, `plain-${to}`];
      const plain = ['sh', '-c', 'zstd -q -1 -T0 -c <"$0" | "$@"', dense, ...put];
      results.add(`${at}/plain puts`, await seconds(() => lab.on('a', plain)), 's');
      results.add(
        `${at}/push`,
        await seconds(() => lab.thinfuse('a', 'a', ['push', '--no-anchor', name, link.place(to)], link.env)),
        's',
      );
    }
    await link.close();
  }
  rmSync(dense);
}

/** A push after 1 % has changed. */
export async function changed({ lab, results, kind, rounds, roundTrips, size }: Bench): Promise<void> {
  await lab.thinfuse('a', 'a', ['snapshot', 'volume', 'base']);
  const file = `${(await lab.thinfuse('a', 'a', ['mount', 'volume'])).trim()}/file`;
  const write = (more: readonly string[]): Promise<string> =>
    run(
      'fio',
      [
        '--name=w',
        `--filename=${file}`,
        `--size=${size}M`,
        '--refill_buffers',
        '--buffer_compress_percentage=50',
        '--end_fsync=1',
        ...more,
      ],
      { timeoutMs: 3_600_000 },
    );
  await write(['--rw=write', '--bs=1M']);
  const trip = roundTrips[0]!;
  const link = await lab.link(kind, trip);
  const at = `changed/${size} MiB/${trip} ms`;
  const pushed = async (): Promise<{ read: number; sent: number }> =>
    JSON.parse(
      await lab.thinfuse('a', 'a', ['push', 'volume', link.place('volume'), '--json'], link.env),
    ) as { read: number; sent: number };
  results.add(`${at}/first`, await seconds(pushed), 's');
  for (let round = 0; round < rounds; round++) {
    await write([
      '--rw=randwrite',
      '--bs=1M',
      `--io_size=${Math.ceil(size / 100)}M`,
      `--randseed=${round + 1}`,
    ]);
    let last = { read: 0, sent: 0 };
    results.add(`${at}/second`, await seconds(async () => (last = await pushed())), 's');
    results.add(`${at}/second read`, last.read / MIB, 'MiB');
    results.add(`${at}/second sent`, last.sent / MIB, 'MiB');
  }
  await link.close();
  await lab.thinfuse('a', 'a', ['rm', '--force', 'volume']);
}

/** What came, beside what was always here. */
export async function reads({ lab, results, kind, rounds, roots }: Bench): Promise<void> {
  const { name } = roots.at(-1)!;
  const link = await lab.link(kind, 0);
  const url = `${link.place('images')}:${name}`;
  await lab.thinfuse('b', 'b', ['pull', '--full', url, 'local'], link.env);
  await lab.thinfuse('b', 'b', ['pull', url, 'came'], link.env);
  await lab.thinfuse('b', 'b', ['hydrate', '--wait', 'came']);
  const files = new Map<string, string>();
  for (const device of ['local', 'came'])
    files.set(device, (await lab.thinfuse('b', 'b', ['activate', device])).trim());
  for (let round = 0; round < rounds; round++)
    for (const [job, more] of [
      ['random 4 KiB', ['--rw=randread', '--bs=4k', '--iodepth=8', '--ioengine=libaio']],
      ['sequential 1 MiB', ['--rw=read', '--bs=1M']],
    ] as const)
      for (const [device, file] of files) {
        const text = await run('fio', [
          '--name=r',
          `--filename=${file.replaceAll(':', '\\:')}`,
          '--readonly',
          '--direct=1',
          '--size=1G',
          '--time_based',
          '--runtime=5',
          '--output-format=json',
          ...more,
        ]);
        const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as {
          jobs: { read: { bw_bytes: number } }[];
        };
        results.add(
          `reads/${job}/${device === 'local' ? 'local bytes' : 'came'}`,
          jobs[0]!.read.bw_bytes / MIB,
          'MiB/s',
        );
      }
  for (const device of ['local', 'came']) {
    await lab.thinfuse('b', 'b', ['deactivate', device]);
    await lab.thinfuse('b', 'b', ['rm', device]);
  }
  await link.close();
}

/** What the daemon takes more than before while it fetches everything. */
export async function memory({ lab, results, kind, rounds, roundTrips, roots }: Bench): Promise<void> {
  const { name } = roots.at(-1)!;
  for (let round = 0; round < rounds; round++) {
    for (const pool of ['stop', 'start']) await lab.thinfuse('b', 'b', [pool]);
    const link = await lab.link(kind, roundTrips[0]!);
    const { pid } = JSON.parse(await lab.thinfuse('b', 'b', ['status', '--json'])) as { pid: number };
    const resident = (): number =>
      Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
    await lab.thinfuse('b', 'b', ['pull', `${link.place('images')}:${name}`, 'pulled'], link.env);
    const before = resident();
    let [most, isDone] = [before, false];
    const hydrating = lab.thinfuse('b', 'b', ['hydrate', '--wait', 'pulled']).finally(() => (isDone = true));
    while (!isDone) {
      most = Math.max(most, resident());
      await sleep(50);
    }
    await hydrating;
    results.add(`memory/${name}/before`, before, 'MiB');
    results.add(`memory/${name}/more memory`, most - before, 'MiB');
    await lab.thinfuse('b', 'b', ['rm', 'pulled']);
    await link.close();
  }
}
