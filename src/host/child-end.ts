import type { ChildProcess } from 'node:child_process';
import { until } from '../async/until.js';

const PATIENCE = { limitMs: 5000, pollMs: 5 };

/** Resolves when a child that was told to end has, or after 5 s. */
export async function ended(child: ChildProcess): Promise<void> {
  await until(() => child.exitCode !== null || child.signalCode !== null, PATIENCE);
}
