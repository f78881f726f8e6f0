#!/usr/bin/env node
import { READER_GONE, runCommandLine } from './run.js';

const code = await runCommandLine(process.argv);
if (code === READER_GONE) {
  // As other tools end in a pipe. Node.js ignores the signal, until a listener of it has gone.
  const listener = (): void => undefined;
  process.on('SIGPIPE', listener).off('SIGPIPE', listener);
  process.kill(process.pid, 'SIGPIPE');
}
// Everything that was printed has been written by now. A command may have left a code of its own.
process.exit(code === 0 ? process.exitCode : code);
