import assert from 'node:assert/strict';
import type { DeviceRecord } from '../format/device-record.js';
import type { NodeId } from '../format/ids.js';
import { heldPieceKey, metadataSnapshotKey } from '../format/keys.js';
import {
  HELD_PER_PIECE,
  MAX_HELD_PIECE,
  MAX_METADATA_SNAPSHOT,
  packHeldPiece,
  packMetadataSnapshot,
  type MetadataSnapshot,
} from '../format/metadata-snapshot.js';
import { HELD_VERSION, seal } from '../format/seal.js';
import type { Superblock } from '../format/superblock.js';
import { ChangedRecords, putOrDelete, type CollectedChanges } from './changed-records.js';

type Roots = readonly NodeId[];

/** A piece in memory: what it owes, and its value until that is durable. */
interface Piece {
  readonly roots: Roots;
  readonly value?: Uint8Array;
}

/**
 * The metadata snapshots that are reserved, and those that are being made or given back. Few, so all in
 * memory, their records' roots too. Each step costs as much as a piece.
 */
export class HeldRoots {
  readonly #held = new Map<number, MetadataSnapshot>();
  readonly #pieces = new Map<number, Piece>();
  /** Of version 1. */
  readonly #roots = new Map<number, readonly Roots[]>();
  readonly #changed = new ChangedRecords<number>();
  readonly #changedPieces = new ChangedRecords<number>();
  #open: number | undefined;

  get isDirty(): boolean {
    return !this.#changed.isEmpty || !this.#changedPieces.isEmpty;
  }

  /** Ascending by id, which is the order in which they were reserved. */
  all(): readonly MetadataSnapshot[] {
    return [...this.#held.values()].filter(({ isWhole }) => isWhole).sort((x, y) => x.id - y.id);
  }

  get(id: number): MetadataSnapshot | undefined {
    const held = this.#held.get(id);
    return held?.isWhole === true ? held : undefined;
  }

  /** How many are to be given back (`giveBack`). */
  get owing(): number {
    return this.#held.size === 0 ? 0 : [...this.#held.values()].filter((held) => this.#isOwing(held)).length;
  }

  /** A number above all that are in use; undefined where the numbers are used up. */
  nextId(): number | undefined {
    const id = Math.max(0, ...this.#held.keys()) + 1;
    return id <= MAX_METADATA_SNAPSHOT ? id : undefined;
  }

  /** @param roots of version 1: of its records */
  load(held: MetadataSnapshot, roots: Roots = []): void {
    this.#held.set(held.id, held);
    if (held.pieces === undefined) this.#roots.set(held.id, piecesOf(roots));
  }

  loadPiece(number: number, roots: Roots): void {
    this.#pieces.set(number, { roots });
  }

  /**
   * One without devices, which `add` gives some and `finish` makes whole. There is one at a time. Undefined
   * where numbers are used up.
   */
  begin(createdAt: number, superblock: Superblock): number | undefined {
    assert(this.#open === undefined, 'a metadata snapshot is being made');
    const id = this.nextId();
    const ends = [...this.#held.values()].map(({ pieces }) => (pieces ? pieces.first + pieces.count : 0));
    const first = Math.max(0, ...ends);
    // The number of devices is a u24.
    if (id === undefined || first > MAX_HELD_PIECE - MAX_METADATA_SNAPSHOT) return undefined;
    this.#open = id;
    this.#set({ id, createdAt, superblock, devices: 0, isWhole: false, pieces: { first, count: 0 } });
    return id;
  }

  /** A piece of the one that is being made. */
  add(records: readonly DeviceRecord[]): void {
    const { held, pieces } = this.#opened();
    const number = pieces.first + pieces.count;
    const value = seal('held-piece', number, packHeldPiece(held.id, records));
    this.#pieces.set(number, { roots: records.map(({ root }) => root), value });
    this.#changedPieces.note(number);
    this.#set({
      ...held,
      devices: held.devices + records.length,
      pieces: { first: pieces.first, count: pieces.count + 1 },
    });
  }

  finish(): MetadataSnapshot {
    const whole = { ...this.#opened().held, isWhole: true };
    this.#open = undefined;
    this.#set(whole);
    return whole;
  }

  /** Nobody finishes the one that is being made: what it has is given back. */
  drop(): void {
    this.#open = undefined;
  }

  /** `giveBack` has its roots from now on; those of version 1, in pieces, are returned. */
  release(id: number): readonly Roots[] {
    const held = this.get(id);
    assert(held !== undefined, `metadata snapshot ${id} is not in the table`);
    const roots = this.#roots.get(id) ?? [];
    if (held.pieces === undefined) this.#remove(id);
    else this.#set({ ...held, isWhole: false });
    return roots;
  }

  /** The roots of one piece, which goes: each is owed a release. Undefined where none is to be given back. */
  giveBack(): { readonly id: number; readonly roots: Roots } | undefined {
    const held = this.#owing();
    if (held?.pieces === undefined) return undefined;
    const { id } = held;
    const { first, count } = held.pieces;
    if (count === 0) {
      this.#remove(id);
      return { id, roots: [] };
    }
    const last = first + count - 1;
    const roots = this.#pieces.get(last)?.roots ?? [];
    this.#pieces.delete(last);
    this.#changedPieces.note(last);
    if (count === 1) this.#remove(id);
    else this.#set({ ...held, devices: held.devices - roots.length, pieces: { first, count: count - 1 } });
    return { id, roots };
  }

  /** Operations for everything changed since the last call, and the way back. */
  collect(): CollectedChanges & { settle(): void } {
    const written: number[] = [];
    const pieces = this.#changedPieces.collect((number) => {
      const value = this.#pieces.get(number)?.value;
      if (value !== undefined) written.push(number);
      return putOrDelete(heldPieceKey(number), value);
    });
    const headers = this.#changed.collect((id) => {
      const held = this.#held.get(id);
      const body = held?.pieces && packMetadataSnapshot(held, held.pieces);
      return putOrDelete(metadataSnapshotKey(id), body && seal('metadata-snapshot', id, body, HELD_VERSION));
    });
    return {
      operations: [...pieces.operations, ...headers.operations],
      settle: () => {
        for (const number of written) this.#forgetValue(number);
      },
      undo: () => {
        pieces.undo();
        headers.undo();
      },
    };
  }

  #owing(): MetadataSnapshot | undefined {
    for (const held of this.#held.values()) if (this.#isOwing(held)) return held;
    return undefined;
  }

  #isOwing({ id, isWhole }: MetadataSnapshot): boolean {
    return !isWhole && id !== this.#open;
  }

  #opened(): { held: MetadataSnapshot; pieces: NonNullable<MetadataSnapshot['pieces']> } {
    const held = this.#open === undefined ? undefined : this.#held.get(this.#open);
    assert(held?.pieces !== undefined, 'no metadata snapshot is being made');
    return { held, pieces: held.pieces };
  }

  #set(held: MetadataSnapshot): void {
    this.#held.set(held.id, held);
    this.#changed.note(held.id);
  }

  #remove(id: number): void {
    this.#held.delete(id);
    this.#roots.delete(id);
    this.#changed.note(id);
  }

  /** Unless the number has another piece since, which is not durable. */
  #forgetValue(number: number): void {
    const piece = this.#pieces.get(number);
    if (piece !== undefined && !this.#changedPieces.has(number))
      this.#pieces.set(number, { roots: piece.roots });
  }
}

function piecesOf(roots: Roots): readonly Roots[] {
  const pieces: Roots[] = [];
  for (let at = 0; at < roots.length; at += HELD_PER_PIECE) pieces.push(roots.slice(at, at + HELD_PER_PIECE));
  return pieces;
}
