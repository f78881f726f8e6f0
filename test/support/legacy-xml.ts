/** A pool as thin_dump writes it and thin_restore reads it. */
export interface XmlPool {
  readonly attributes: Readonly<Record<string, string>>;
  readonly devices: readonly XmlDevice[];
}

export interface XmlDevice {
  readonly attributes: Readonly<Record<string, string>>;
  readonly ranges: readonly XmlRange[];
}

export interface XmlRange {
  readonly begin: number;
  readonly data: number;
  readonly length: number;
  readonly time: number;
}

/** What thin_dump prints, neighbouring ranges joined. */
export function parseDump(text: string): XmlPool {
  const devices: { attributes: Record<string, string>; ranges: XmlRange[] }[] = [];
  let attributes: Record<string, string> = {};
  for (const [, tag = '', rest = ''] of text.matchAll(/<(\w+)((?:\s+\w+="[^"]*")*)\s*\/?>/g)) {
    const found = Object.fromEntries(
      [...rest.matchAll(/(\w+)="([^"]*)"/g)].map(([, key = '', value = '']) => [key, value]),
    );
    if (tag === 'superblock') attributes = found;
    else if (tag === 'device') devices.push({ attributes: found, ranges: [] });
    else if (tag === 'range_mapping')
      add(devices.at(-1)!.ranges, found['origin_begin'], found['data_begin'], found['length'], found['time']);
    else if (tag === 'single_mapping')
      add(devices.at(-1)!.ranges, found['origin_block'], found['data_block'], '1', found['time']);
  }
  return { attributes, devices };
}

function add(ranges: XmlRange[], ...texts: (string | undefined)[]): void {
  const [begin = 0, data = 0, length = 0, time = 0] = texts.map(Number);
  const last = ranges.at(-1);
  if (last?.time === time && last.begin + last.length === begin && last.data + last.length === data)
    ranges[ranges.length - 1] = { ...last, length: last.length + length };
  else ranges.push({ begin, data, length, time });
}

/** For thin_restore. */
export function formatDump({ attributes, devices }: XmlPool): string {
  const words = (pairs: Readonly<Record<string, string | number>>): string =>
    Object.entries(pairs)
      .map(([key, value]) => `${key}="${value}"`)
      .join(' ');
  const ranges = (device: XmlDevice): string[] =>
    device.ranges.map(({ begin, data, length, time }) =>
      length === 1
        ? `<single_mapping ${words({ origin_block: begin, data_block: data, time })}/>`
        : `<range_mapping ${words({ origin_begin: begin, data_begin: data, length, time })}/>`,
    );
  return [
    `<superblock ${words(attributes)}>`,
    ...devices.flatMap((device) => [`<device ${words(device.attributes)}>`, ...ranges(device), '</device>']),
    '</superblock>\n',
  ].join('\n');
}
