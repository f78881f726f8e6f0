import assert from 'node:assert/strict';
import { parentPort, workerData } from 'node:worker_threads';
import { toThinError } from '../errors/thin-error.js';
import { damagedStore } from './level-errors.js';
import { readManifest } from './level-manifest.js';
import type { StructureRequest, StructureResult } from './level-structure.js';
import { TableBlocks, type BadTableBlock } from './level-table-blocks.js';

const port = parentPort;
assert(port !== null, 'this module is a thread');
const { path, hurry } = workerData as StructureRequest;

/** Milliseconds of work between two rests, which are so many times as long. */
const SLICE = 5;
const REST = 4;

/** Those first that a compaction takes first. @returns what is wrong with one of them */
async function firstProblem(): Promise<{ number: number; bad: BadTableBlock } | undefined> {
  const { tables, lastSequence } = await readManifest(path);
  let began = performance.now();
  for (const table of [...tables.values()].sort((a, b) => a.level - b.level)) {
    const blocks = TableBlocks.open(path, table, lastSequence);
    // LevelDB has replaced it since.
    if (blocks === undefined) continue;
    try {
      const bad = blocks.indexProblem();
      if (bad !== undefined) return { number: table.number, bad };
      for (let at = 0; at < blocks.count; at++) {
        const problem = blocks.structureProblem(at);
        if (problem !== undefined) return { number: table.number, bad: problem };
        const spent = performance.now() - began;
        if (spent < SLICE) continue;
        Atomics.wait(hurry, 0, 0, REST * spent);
        began = performance.now();
      }
    } finally {
      blocks.close();
    }
  }
  return undefined;
}

function tell(result: StructureResult): void {
  port!.postMessage(result);
}

try {
  const found = await firstProblem();
  if (found === undefined) tell({ kind: 'well' });
  else {
    const { number, bad } = found;
    const { message } = damagedStore(
      path,
      `its table ${number} is damaged at byte ${bad.offset} (${bad.problem})`,
    );
    tell({ kind: 'damaged', message });
  }
} catch (error) {
  tell({ kind: 'failed', message: toThinError(error).message });
}
