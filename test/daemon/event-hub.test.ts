import assert from 'node:assert/strict';
import { EventHub, eventText, parseEvent } from '../../src/daemon/event-hub.js';

const log = (event: string, level = 30, rest: Record<string, unknown> = {}): string =>
  JSON.stringify({ level, time: 1_700_000_000_000, pid: 1, hostname: 'h', event, msg: `${event}!`, ...rest });

describe('events', () => {
  it('are the lines of the log, without what is the same in each', () => {
    assert.deepEqual(parseEvent(log('mode', 40, { mode: 'ro' })), {
      time: 1_700_000_000_000,
      level: 'warn',
      event: 'mode',
      message: 'mode!',
      details: { mode: 'ro' },
    });
    for (const text of ['', 'no JSON', '{}', '[1]', '{"time":"x","level":30}'])
      assert.equal(parseEvent(text), undefined);
  });

  it('read as one line each', () => {
    const texts = [
      log('space', 50),
      log('call', 30, { msg: '', operation: 'mount', input: { name: 'web', readOnly: false }, ms: 12 }),
      log('call', 30, { msg: 'web is mounted', operation: 'mount', input: { name: 'web' }, ms: 12 }),
      log('call', 40, { msg: 'no web', operation: 'mount', input: { name: 'web' }, ms: 12 }),
    ].map((text) => eventText(parseEvent(text)!));
    assert.deepEqual(texts, [
      '2023-11-14T22:13:20.000Z error space: space!',
      '2023-11-14T22:13:20.000Z info call mount name=web readOnly=false (12 ms)',
      '2023-11-14T22:13:20.000Z web is mounted',
      '2023-11-14T22:13:20.000Z warn call mount name=web (12 ms): no web',
    ]);
  });

  it('are kept, counted, and handed to everybody who follows', async () => {
    const hub = new EventHub();
    hub.write(log('a'));
    hub.write(log('b', 40));
    hub.write(log('a'));
    const names = (lines: string[]): string[] =>
      lines.map((line) => (JSON.parse(line) as { event: string }).event);
    const past: string[] = [];
    for await (const line of hub.lines({ past: true, follow: false })) past.push(line);
    assert.deepEqual(names(past), ['a', 'b', 'a']);
    assert.deepEqual(hub.counts(), [
      { event: 'a', level: 'info', count: 2 },
      { event: 'b', level: 'warn', count: 1 },
    ]);
    const followers = [hub.lines({ past: false, follow: true }), hub.lines({ past: true, follow: true })];
    const firsts = followers.map((lines) => lines.next());
    await new Promise((resolve) => setImmediate(resolve));
    hub.write(log('c'));
    assert.deepEqual(names((await Promise.all(firsts)).map(({ value }) => String(value))), ['c', 'a']);
    for (const lines of followers) await lines.return(undefined);
  });

  it('do not fill the memory for a reader that does not read', async () => {
    const hub = new EventHub();
    const lines = hub.lines({ past: false, follow: true });
    const first = lines.next();
    await new Promise((resolve) => setImmediate(resolve));
    for (let count = 0; count < 3000; count++) hub.write(log(`e${count}`));
    assert.equal((JSON.parse(String((await first).value)) as { event: string }).event, 'e2000');
    await lines.return(undefined);
  });
});
