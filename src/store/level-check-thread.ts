import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { toThinError } from '../errors/thin-error.js';
import type { FilesCheckMessage } from './level-check-apart.js';
import { damagedFiles } from './level-check.js';

const port = parentPort;
assert(port !== null, 'this module is a thread');
const { path } = workerData as { readonly path: string };

function tell(message: FilesCheckMessage): void {
  port!.postMessage(message);
}

function packed(thrown: unknown): Extract<FilesCheckMessage, { readonly found: unknown }>['found'] {
  const { code, message, details } = toThinError(thrown);
  return { code, message, details };
}

try {
  for await (const error of damagedFiles(path, 'all', pause)) tell({ found: packed(error) });
  tell({ end: true });
} catch (error) {
  tell({ failure: packed(error) });
}
