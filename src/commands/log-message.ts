import { open } from 'node:fs/promises';
import { parseEvent } from '../daemon/event-hub.js';

/** Characters of a message of the daemon's that a terminal's line has room for. */
const LINE = 60;
/** Bytes: more than a line of the log has, and little to read twice a second. */
const TAIL = 64 * 2 ** 10;

/**
 * What a daemon said last, in one line; empty where it has said nothing yet: what the log has of before is of
 * another daemon. @param since milliseconds since 1970
 */
export async function lastMessage(log: string, since: number): Promise<string> {
  const line = (await tailOf(log)).trimEnd().split('\n').at(-1) ?? '';
  const event = parseEvent(line);
  if (event === undefined || event.time < since) return '';
  const { message } = event;
  return message.length > LINE ? `${message.slice(0, LINE)}…` : message;
}

async function tailOf(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(TAIL), 0, TAIL, Math.max(0, size - TAIL));
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}
