const SECTOR = 512;
/** Of LVM's names, behind the first character (lib/misc/lvm-string.c, `validate_name`). */
const FORBIDDEN = /[^A-Za-z0-9+_.-]/g;
/** Names that LVM keeps for itself (`_lvname_has_reserved_prefix`, `_lvname_has_reserved_string`). */
const RESERVED =
  /^(snapshot|pvmove)|_(cdata|cmeta|corig|iorig|imeta|mimage|mlog|pmspare|rimage|rmeta|tdata|tmeta|vdata|vorigin|wcorig|vpool\d+)/;
/** With the name of the group and dashes that are doubled: device-mapper takes 127 characters. */
const MAX_NAME = 50;

/** Extents [extent, extent + extents) of the one disk. */
export interface DiskExtents {
  readonly extent: number;
  readonly extents: number;
}

/** A thin volume to be described. */
export interface ThinVolumeText {
  readonly name: string;
  readonly id: string;
  readonly extents: number;
  readonly deviceId: number;
  /** The name of a thin volume of the same group. */
  readonly origin: string | undefined;
}

/** A group of one disk with one thin pool. Sizes in bytes; ids have 32 characters. */
export interface ThinGroupText {
  readonly name: string;
  readonly id: string;
  readonly extentSize: number;
  readonly disk: {
    readonly id: string;
    readonly path: string;
    readonly size: number;
    readonly extentsBegin: number;
    readonly extents: number;
  };
  readonly pool: {
    readonly name: string;
    readonly ids: Readonly<Record<'pool' | 'data' | 'metadata' | 'spare', string>>;
    readonly chunkSize: number;
    readonly transactionId: number;
    readonly data: DiskExtents;
    readonly metadata: DiskExtents;
    /** Room of the metadata's size, which lvconvert --repair takes. */
    readonly spare: DiskExtents;
  };
  readonly volumes: readonly ThinVolumeText[];
  /** Seconds since 1970. */
  readonly createdAt: number;
}

/**
 * A name that LVM takes, as near to `wanted` as can be, and none of `taken`, to which it is added.
 */
export function lvmName(wanted: string, taken: Set<string>): string {
  const plain = wanted.replace(FORBIDDEN, '_').replace(/^[-.]+/, '') || 'volume';
  const own = (RESERVED.test(plain) ? `lv.${plain.replaceAll('_', '.')}` : plain).slice(0, MAX_NAME);
  let name = own;
  for (let number = 2; taken.has(name); number++) name = `${own}.${number}`;
  taken.add(name);
  return name;
}

/** As lib/format_text/export.c writes it. */
export function thinGroupText(group: ThinGroupText): string {
  const { disk, pool, volumes, createdAt } = group;
  const made = [`creation_time = ${createdAt}`, 'creation_host = "thinfuse"'];
  const volume = (
    name: string,
    id: string,
    { visible, extents }: { readonly visible: boolean; readonly extents: number },
    segment: readonly string[],
  ): Section => [
    name,
    [
      `id = "${dashed(id)}"`,
      `status = ["READ", "WRITE"${visible ? ', "VISIBLE"' : ''}]`,
      'flags = []',
      ...made,
      'segment_count = 1',
      ['segment1', ['start_extent = 0', `extent_count = ${extents}`, ...segment]],
    ],
  ];
  const linear = (name: string, id: string, { extent, extents }: DiskExtents): Section =>
    volume(name, id, { visible: false, extents }, [
      'type = "striped"',
      'stripe_count = 1',
      `stripes = ["pv0", ${extent}]`,
    ]);
  const sections: Section = [
    group.name,
    [
      `id = "${dashed(group.id)}"`,
      'seqno = 1',
      'format = "lvm2"',
      'status = ["RESIZEABLE", "READ", "WRITE"]',
      'flags = []',
      `extent_size = ${group.extentSize / SECTOR}`,
      'max_lv = 0',
      'max_pv = 0',
      'metadata_copies = 0',
      [
        'physical_volumes',
        [
          [
            'pv0',
            [
              `id = "${dashed(disk.id)}"`,
              `device = ${quoted(disk.path)}`,
              'status = ["ALLOCATABLE"]',
              'flags = []',
              `dev_size = ${disk.size / SECTOR}`,
              `pe_start = ${disk.extentsBegin / SECTOR}`,
              `pe_count = ${disk.extents}`,
            ],
          ],
        ],
      ],
      [
        'logical_volumes',
        [
          volume(pool.name, pool.ids.pool, { visible: true, extents: pool.data.extents }, [
            'type = "thin-pool"',
            `metadata = "${pool.name}_tmeta"`,
            `pool = "${pool.name}_tdata"`,
            `transaction_id = ${pool.transactionId}`,
            `chunk_size = ${pool.chunkSize / SECTOR}`,
            'discards = "passdown"',
            'zero_new_blocks = 1',
          ]),
          ...volumes.map(({ name, id, extents, deviceId, origin }) =>
            volume(name, id, { visible: true, extents }, [
              'type = "thin"',
              `thin_pool = "${pool.name}"`,
              'transaction_id = 0',
              `device_id = ${deviceId}`,
              ...(origin === undefined ? [] : [`origin = "${origin}"`]),
            ]),
          ),
          linear(`${pool.name}_tdata`, pool.ids.data, pool.data),
          linear(`${pool.name}_tmeta`, pool.ids.metadata, pool.metadata),
          linear('lvol0_pmspare', pool.ids.spare, pool.spare),
        ],
      ],
    ],
  ];
  return [
    ...lines(sections, ''),
    'contents = "Text Format Volume Group"',
    'version = 1',
    'description = "Written by thinfuse export"',
    ...made,
    '',
  ].join('\n');
}

type Section = readonly [name: string, content: readonly (string | Section)[]];

function lines([name, content]: Section, indent: string): readonly string[] {
  return [
    `${indent}${name} {`,
    ...content.flatMap((one) =>
      typeof one === 'string' ? [`${indent}\t${one}`] : lines(one, `${indent}\t`),
    ),
    `${indent}}`,
  ];
}

function quoted(text: string): string {
  return `"${text.replace(/["\\]/g, '\\$&')}"`;
}

function dashed(id: string): string {
  return id.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, '$1-$2-$3-$4-$5-$6-$7');
}
