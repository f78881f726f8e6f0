import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { crc32 } from '@node-rs/crc32';
import { readLvmGroups, type LvmFound } from '../../src/legacy/lvm/lvm-groups.js';
import { parseLvmText } from '../../src/legacy/lvm/lvm-text.js';
import { diskOf, volumesOf } from '../../src/legacy/lvm/lvm-source.js';
import { readPartitions } from '../../src/legacy/lvm/partitions.js';
import { SourceFile } from '../../src/legacy/source-file.js';
import {
  EXTENT,
  linear,
  striped,
  volumeText,
  withFile,
  writeExtents,
  writeGroup,
  type TestDisk,
} from '../support/lvm-disk.js';
import { hasTool, run, useScratch } from '../support/mounts.js';

describe('legacy: disks of LVM', () => {
  const scratch = useScratch();
  const open_: SourceFile[] = [];

  afterEach(() => {
    for (const file of open_.splice(0)) file.close();
  });

  const disk = (name: string, extents = 16, begin = 0): TestDisk => ({
    path: scratch.current.at(name),
    name,
    extents,
    begin,
  });

  function found(...disks: readonly TestDisk[]): LvmFound {
    const files = disks.map(({ path }) => new SourceFile(path, 'the disk'));
    open_.push(...files);
    return readLvmGroups(files);
  }

  async function content({ groups }: LvmFound, volume: string): Promise<Buffer> {
    const reader = diskOf(groups[0]!, volume);
    const bytes = Buffer.alloc(reader.size);
    await reader.read(0, bytes);
    assert.ok(reader.readSync(0, reader.size).equals(bytes));
    return bytes;
  }

  it('puts volumes together from segments, stripes and disks, wherever the text begins', async () => {
    const [a, b] = [disk('pv0'), disk('pv1')];
    const [ones, twos] = [randomBytes(16 * EXTENT), randomBytes(16 * EXTENT)];
    const volumes = [
      volumeText('two', [
        { extents: 2, text: linear('pv0', 5) },
        { extents: 3, text: linear('pv1', 1) },
      ]),
      volumeText('wide', [{ extents: 4, text: striped(32, ['pv0', 8], ['pv1', 6]) }]),
      volumeText('empty', [{ extents: 2, text: 'type = "zero"' }]),
      volumeText('stacked', [{ extents: 2, text: linear('two', 1) }]),
    ].join('\n');
    for (const textAt of [512, 40_000, 59_000, 61_000]) {
      await writeGroup({ disks: [a, b], volumes, textAt });
      await writeExtents(a, 0, ones);
      await writeExtents(b, 0, twos);
      const group = found(a, b);
      assert.deepEqual(group.problems, []);
      const two = Buffer.concat([ones.subarray(5 * EXTENT, 7 * EXTENT), twos.subarray(EXTENT, 4 * EXTENT)]);
      assert.ok((await content(group, 'two')).equals(two));
      assert.ok((await content(group, 'stacked')).equals(two.subarray(EXTENT, 3 * EXTENT)));
      assert.ok((await content(group, 'empty')).every((byte) => byte === 0));
      const wide = await content(group, 'wide');
      for (let stripe = 0; stripe < wide.length / 16384; stripe++) {
        const [from, extent] = stripe % 2 === 0 ? [ones, 8] : [twos, 6];
        const at = extent * EXTENT + Math.floor(stripe / 2) * 16384;
        assert.ok(wide.subarray(stripe * 16384, (stripe + 1) * 16384).equals(from.subarray(at, at + 16384)));
      }
      if (await hasTool('pvck'))
        assert.match(await run('pvck', ['--dump', 'metadata', a.path], {}), /stacked \{/);
    }
  });

  it('takes the newer of two texts, and the other where one is damaged', async () => {
    const [a, b] = [disk('pv0'), disk('pv1')];
    const text = (name: string): string => volumeText(name, [{ extents: 1, text: linear('pv0', 0) }]);
    await writeGroup({ disks: [a, b], volumes: text('before') });
    await writeGroup({ disks: [{ ...a }], volumes: text('after'), sequence: 2 });
    const names = (all: LvmFound): string[] => [...all.groups[0]!.group.logical.keys()];
    assert.deepEqual(names(found(a)), ['after']);
    assert.deepEqual(names(found(b, a)), ['after']);
    await withFile(a.path, (handle) => handle.write(Buffer.from('x'), 0, 1, 4096 + 600));
    const one = found(a);
    assert.deepEqual(names(one), ['after']);
    assert.match(one.problems.join(), /checksum does not fit/);
    await withFile(a.path, (handle) => handle.write(Buffer.from('x'), 0, 1, 2 ** 20 + 16 * EXTENT + 600));
    assert.throws(() => found(a), { code: 'damaged', message: /pvck --dump metadata_search/ });
    await withFile(a.path, (handle) => handle.write(Buffer.from('!'), 0, 1, 512 + 40));
    assert.throws(() => found(a), { code: 'damaged', message: /label/ });
  });

  it('names a disk that is missing, and reads what does not need it', async () => {
    const [a, b] = [disk('pv0'), disk('pv1')];
    const volumes = [
      volumeText('here', [{ extents: 2, text: linear('pv0', 0) }]),
      volumeText('both', [
        { extents: 1, text: linear('pv0', 3) },
        { extents: 1, text: linear('pv1', 0) },
      ]),
    ].join('\n');
    await writeGroup({ disks: [a, b], volumes });
    const bytes = randomBytes(2 * EXTENT);
    await writeExtents(a, 0, bytes);
    const group = found(a);
    assert.match(
      group.problems.join(),
      /the disk pv1 of the group old was not given \(pv1x+, last seen as \/dev\/pv1\)/,
    );
    assert.ok((await content(group, 'here')).equals(bytes));
    const both = diskOf(group.groups[0]!, 'both');
    assert.deepEqual(
      both.gaps(0, both.size).map(({ begin, end }) => [begin, end]),
      [[EXTENT, 2 * EXTENT]],
    );
    await assert.rejects(both.read(0, Buffer.alloc(both.size)), { code: 'damaged', message: /pv1/ });
    assert.throws(() => found(a, a), { code: 'invalid-argument', message: /the same disk/ });
  });

  it('refuses what is not linear, striped or thin, by its kind, and shows the rest', async () => {
    const a = disk('pv0');
    const kinds = [
      'raid1',
      'raid5_ls',
      'mirror',
      'cache',
      'cache+CACHE_USES_CACHEVOL',
      'writecache',
      'vdo',
      'crypt',
      'new',
    ];
    const volumes = [
      ...kinds.map((type, index) => volumeText(`v${index}`, [{ extents: 1, text: `type = "${type}"` }])),
      volumeText('plain', [{ extents: 1, text: linear('pv0', 0) }]),
      volumeText('origin', [{ extents: 1, text: linear('pv0', 1) }]),
      volumeText('cow', [{ extents: 1, text: linear('pv0', 2) }]),
      volumeText(
        'snapshot0',
        [{ extents: 1, text: 'type = "snapshot"\nchunk_size = 8\norigin = "origin"\ncow_store = "cow"' }],
        '"READ", "WRITE"',
      ),
      volumeText('over', [{ extents: 1, text: linear('v0', 0) }]),
    ].join('\n');
    await writeGroup({ disks: [a], volumes });
    const { groups } = found(a);
    const options = { heldRoot: false, search: false, docker: [], overrides: {} };
    const shown = volumesOf(groups, options).volumes;
    for (const { name, problem } of shown) {
      const readable = ['plain', 'origin'].includes(name);
      assert.equal(problem?.code, readable ? undefined : 'unsupported', name);
    }
    const message = (name: string): string => shown.find((one) => one.name === name)?.problem?.message ?? '';
    assert.match(message('v0'), /mirror or RAID.*raid1/);
    assert.match(message('v3'), /dm-cache/);
    assert.match(message('v6'), /VDO/);
    assert.match(message('v7'), /encrypted/);
    assert.match(message('cow'), /copy-on-write snapshot/);
    assert.match(message('over'), /RAID/);
  });

  it('finds LVM in partitions of GPT and MBR, logical ones too, and the backup of a GPT', async () => {
    const size = 8 * 2 ** 20;
    const volumes = volumeText('lv', [{ extents: 1, text: linear('pv0', 0) }]);
    for (const [name, begin, sector, table] of [
      ['gpt', 2 ** 20, 512, gpt],
      ['gpt4k', 2 ** 20, 4096, gpt],
      ['mbr', 2 ** 20, 512, mbr],
      ['logical', 3 * 2 ** 20, 512, logical],
    ] as const) {
      const a = { ...disk('pv0', 16, begin), path: scratch.current.at(name) };
      await writeFile(a.path, '');
      await withFile(a.path, (handle) => handle.truncate(size));
      await table(a.path, begin, sector);
      await writeGroup({ disks: [a], volumes });
      assert.deepEqual([...found(a).groups[0]!.group.logical.keys()], ['lv'], name);
      if (table !== gpt) continue;
      await withFile(a.path, (handle) => handle.write(Buffer.alloc(8), 0, 8, sector + 60));
      assert.deepEqual([...found(a).groups[0]!.group.logical.keys()], ['lv'], `${name}, backup`);
    }
  });

  it('says what a disk is that has no LVM', async () => {
    const at = scratch.current.at('other');
    const as = async (place: number, bytes: Buffer): Promise<TestDisk> => {
      const whole = Buffer.alloc(2 ** 20);
      bytes.copy(whole, place);
      await writeFile(at, whole);
      return { path: at, name: 'pv0', extents: 0 };
    };
    const luks = await as(0, Buffer.from('LUKS\xba\xbe', 'latin1'));
    assert.throws(() => found(luks), { code: 'unsupported', message: /LUKS.*cryptsetup/ });
    const md = await as(4096, Buffer.from([0xfc, 0x4e, 0x2b, 0xa9]));
    assert.throws(() => found(md), { code: 'invalid-argument', message: /mdadm/ });
    const nothing = await as(0, Buffer.alloc(0));
    assert.throws(() => found(nothing), { code: 'invalid-argument', message: /no physical volume/ });
  });

  it('survives any text and any bytes of a disk', async () => {
    for (const text of [
      'a {',
      'a = ',
      '= 1',
      'a { b = [1, }',
      '"',
      'a { b { c { } }',
      'a = [[[',
      '}',
      'x\u0000',
    ])
      assert.throws(() => parseLvmText(text, 'text'), { code: 'damaged' }, text);
    const a = disk('pv0');
    await writeGroup({ disks: [a], volumes: volumeText('lv', [{ extents: 1, text: linear('pv0', 0) }]) });
    const whole = await readFile(a.path);
    for (let round = 0; round < 200; round++) {
      const hurt = Buffer.from(whole);
      for (let hit = 0; hit < 8; hit++)
        hurt[Math.floor(Math.random() * 6000)] = Math.floor(Math.random() * 256);
      await writeFile(a.path, hurt);
      try {
        volumesOf(found(a).groups, { heldRoot: false, search: false, docker: [], overrides: {} });
      } catch (error) {
        assert.ok(
          (error as { code?: string }).code === 'damaged' ||
            (error as { code?: string }).code === 'invalid-argument',
          String(error),
        );
      }
      for (const file of open_.splice(0)) file.close();
    }
  });

  it('ends at tables that lead back into themselves', async () => {
    const at = scratch.current.at('loop');
    const table = Buffer.alloc(512);
    table.writeUInt16LE(0xaa55, 510);
    entry(table, 0, 0x05, 8, 100);
    await writeFile(at, Buffer.alloc(2 ** 20));
    await withFile(at, async (handle) => {
      await handle.write(table, 0, 512, 0);
      const inner = Buffer.from(table);
      entry(inner, 0, 0x8e, 1, 1);
      entry(inner, 1, 0x05, 0, 100);
      await handle.write(inner, 0, 512, 8 * 512);
    });
    const file = new SourceFile(at, 'the disk');
    open_.push(file);
    assert.ok(readPartitions(file).length > 0);
  });
});

function entry(table: Buffer, index: number, type: number, begin: number, size: number): void {
  const at = 446 + index * 16;
  table[at + 4] = type;
  table.writeUInt32LE(begin, at + 8);
  table.writeUInt32LE(size, at + 12);
}

async function mbr(path: string, begin: number, sector: number): Promise<void> {
  const table = Buffer.alloc(512);
  table.writeUInt16LE(0xaa55, 510);
  entry(table, 1, 0x8e, begin / sector, 4096);
  await withFile(path, (handle) => handle.write(table, 0, 512, 0));
}

/** Partition 6, behind a logical one that is something else. */
async function logical(path: string, begin: number, sector: number): Promise<void> {
  const base = 2 ** 20 / sector;
  const tables: [number, Buffer][] = [0, base, base + 16].map((at) => [at, Buffer.alloc(512)]);
  for (const [, table] of tables) table.writeUInt16LE(0xaa55, 510);
  entry(tables[0]![1], 0, 0x0f, base, 12000);
  entry(tables[1]![1], 0, 0x83, 8, 8);
  entry(tables[1]![1], 1, 0x05, 16, 8000);
  entry(tables[2]![1], 0, 0x8e, begin / sector - base - 16, 4096);
  await withFile(path, async (handle) => {
    for (const [at, table] of tables) await handle.write(table, 0, 512, at * sector);
  });
}

async function gpt(path: string, begin: number, sector: number): Promise<void> {
  const protective = Buffer.alloc(512);
  protective.writeUInt16LE(0xaa55, 510);
  entry(protective, 0, 0xee, 1, 0xffffffff);
  const entries = Buffer.alloc(128 * 128);
  entries.fill(7, 0, 16);
  entries.writeBigUInt64LE(BigInt(begin / sector), 32);
  entries.writeBigUInt64LE(BigInt(begin / sector + 1023), 40);
  const handle = await open(path, 'r+');
  try {
    const { size } = await handle.stat();
    await handle.write(protective, 0, 512, 0);
    const last = size - sector;
    for (const [at, entriesAt] of [
      [sector, 2 * sector],
      [last, last - entries.length],
    ] as const) {
      const header = Buffer.alloc(sector);
      header.write('EFI PART');
      header.writeUInt32LE(0x10000, 8);
      header.writeUInt32LE(92, 12);
      header.writeBigUInt64LE(BigInt(at / sector), 24);
      header.writeBigUInt64LE(BigInt(entriesAt / sector), 72);
      header.writeUInt32LE(128, 80);
      header.writeUInt32LE(128, 84);
      header.writeUInt32LE(crc32(entries), 88);
      header.writeUInt32LE(crc32(header.subarray(0, 92)), 16);
      await handle.write(header, 0, sector, at);
      await handle.write(entries, 0, entries.length, entriesAt);
    }
  } finally {
    await handle.close();
  }
}
