// One call of the container runtime interface: node --import tsx scripts/cri/call.ts SOCKET METHOD JSON
// Prints the answer as JSON; bytes come out as text.

import { Cri } from './client.js';

const [socket = '', method = '', request = '{}'] = process.argv.slice(2);
const shown = (_key: string, value: unknown): unknown =>
  typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer'
    ? Buffer.from((value as unknown as { data: number[] }).data).toString()
    : value;
const cri = new Cri(socket);
try {
  console.log(JSON.stringify(await cri.call(method, JSON.parse(request) as object), shown));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
cri.close();
