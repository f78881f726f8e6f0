#!/usr/bin/env node
import { runCommandLine } from './run.js';

// A reader that has seen enough (head) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exitCode = 0;
});

process.exit(await runCommandLine(process.argv));
