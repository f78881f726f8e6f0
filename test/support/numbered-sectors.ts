import { BLOCK } from './small-pool.js';

/** Sectors that a pass writes, spread over the blocks of a device. */
export const PLACES = 24;

export const placeOf = (index: number): number => (index % 12) * BLOCK + Math.floor(index / 12) * 4096;

/** A sector that says which pass wrote it, and where. */
export function sectorOf(pass: number, index: number): Uint8Array {
  const words = new Uint32Array(128).fill(index + 1);
  words.fill(pass, 0, 127);
  return new Uint8Array(words.buffer);
}

/** The pass that wrote the sector; undefined when it is no such sector. */
export function passOf(sector: Uint8Array, index: number): number | undefined {
  const pass = new DataView(sector.buffer, sector.byteOffset).getUint32(0, true);
  return Buffer.from(sector).equals(sectorOf(pass, index)) ? pass : undefined;
}
