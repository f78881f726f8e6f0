const TIME_MASK = 2 ** 24 - 1;

export const MAPPING_BYTES = 8;
/** What one data block is in the low half of a value. */
export const DATA_UNIT = 2 ** 24;

/**
 * Where a virtual block's data is: 40 bits of data block and 24 of time (dm-thin-metadata.c,
 * `unpack_block_time`).
 */
export interface MappingValue {
  readonly data: number;
  /** The low 24 bits of the pool's clock when the block was written. */
  readonly time: number;
}

/** value := (data << 24 | time):u64. In two halves and not as a BigInt, because a pool has many millions of them. */
export function unpackMappingValue(low: number, high: number): MappingValue {
  return { data: dataBlockOf(low, high), time: low & TIME_MASK };
}

/** Only the data block: high 32 bits and the top 8 of the low ones, so less than 2^40. */
export function dataBlockOf(low: number, high: number): number {
  return high * 256 + (low >>> 24);
}
