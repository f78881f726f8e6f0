/**
 * As a daemon that is killed during a snapshot: `freeze-until-killed.ts TARGET` freezes it, says so, and
 * waits.
 */
import { ToolServer } from '../../src/host/tool-server.js';

const [target = ''] = process.argv.slice(2);
await ToolServer.start().run('fsfreeze', ['--freeze', target]);
process.stdout.write('frozen\n');
setInterval(() => undefined, 1000);
