import assert from 'node:assert/strict';
import { parentPort, workerData } from 'node:worker_threads';
import { toThinError } from '../errors/thin-error.js';
import { tablesBelow, tablesDue, tablesIn } from './level-compactions.js';
import { damagedStore } from './level-errors.js';
import { ManifestFollower, type TableEntry } from './level-manifest.js';
import type { StructureRequest, StructureResult, StructureThreadData } from './level-structure.js';
import { TableBlocks, type BadTableBlock } from './level-table-blocks.js';
import { LevelTables } from './level-tables.js';
import { TableLooks } from './table-looks.js';

const port = parentPort;
assert(port !== null, 'this module is a thread');
const { path, hurry } = workerData as StructureThreadData;

/** Milliseconds of work between two rests, which are so many times as long. */
const SLICE = 5;
const REST = 4;

const tables = new LevelTables();
const manifest = new ManifestFollower(path, tables);
const looks = new TableLooks();
let began = performance.now();

function chosen(
  request: StructureRequest,
  now: Awaited<ReturnType<ManifestFollower['read']>>,
): Iterable<TableEntry> {
  switch (request.kind) {
    case 'all':
      // Those first that a compaction takes first.
      return tables.levels.flat();
    case 'due':
      return tablesDue(tables.levels, now.pointers, request.incoming);
    case 'range':
      return tablesIn(tables.levels, { first: request.range.gte, last: request.range.lt });
    case 'table': {
      const table = now.tables.get(request.number);
      return table === undefined ? [] : tablesBelow(tables.levels, table);
    }
  }
}

function rest(): void {
  const spent = performance.now() - began;
  if (spent < SLICE) return;
  Atomics.wait(hurry, 0, 0, REST * spent);
  began = performance.now();
}

function problemIn(table: TableEntry, lastSequence: number): BadTableBlock | undefined {
  const blocks = TableBlocks.open(path, table, lastSequence);
  // LevelDB has replaced it since.
  if (blocks === undefined) return undefined;
  try {
    const at = performance.now();
    const state = blocks.fileState();
    if (looks.isFresh(table.number, state)) return undefined;
    const bad = blocks.indexProblem();
    if (bad !== undefined) return bad;
    for (let block = 0; block < blocks.count; block++) {
      const problem = blocks.structureProblem(block);
      if (problem !== undefined) return problem;
      rest();
    }
    looks.noteWell(table.number, state, at);
    return undefined;
  } finally {
    blocks.close();
  }
}

async function look(request: StructureRequest): Promise<StructureResult> {
  const now = await manifest.read();
  looks.keep(now.tables);
  began = performance.now();
  for (const table of chosen(request, now)) {
    const bad = problemIn(table, now.lastSequence);
    if (bad === undefined) continue;
    const { message } = damagedStore(
      path,
      `its table ${table.number} is damaged at byte ${bad.offset} (${bad.problem})`,
    );
    return { kind: 'damaged', message, table: table.number };
  }
  return { kind: 'well' };
}

port.on('message', (request: StructureRequest) => {
  look(request)
    .catch((error: unknown): StructureResult => ({ kind: 'failed', message: toThinError(error).message }))
    .then((result) => port.postMessage(result))
    .catch((error: unknown) => {
      throw error;
    });
});
