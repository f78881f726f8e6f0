#!/usr/bin/env node
import module from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';
import { isMountHelper } from '../commands/mount-helper.js';

/** From Node.js 22.1 on. */
const { enableCompileCache } = module as { enableCompileCache?: (folder: string) => unknown };

// Not where Node.js would put it, below /tmp: what it takes from there is run, and other users may write
// there.
enableCompileCache?.(
  process.getuid?.() === 0 ? '/var/cache/thinfuse/compiled' : path.join(homedir(), '.cache/thinfuse'),
);
const { READER_GONE, runCommandLine, runMountHelper } = await import('./run.js');

const code = isMountHelper(process.argv)
  ? await runMountHelper(process.argv)
  : await runCommandLine(process.argv);
if (code === READER_GONE) {
  // As other tools end in a pipe. Node.js ignores the signal, until a listener of it has gone.
  const listener = (): void => undefined;
  process.on('SIGPIPE', listener).off('SIGPIPE', listener);
  process.kill(process.pid, 'SIGPIPE');
}
// Everything that was printed has been written by now. A command may have left a code of its own.
process.exit(code === 0 ? process.exitCode : code);
