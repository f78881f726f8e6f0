import assert from 'node:assert/strict';
import { connect } from 'node:net';
import fc from 'fast-check';
import { SocketClient } from '../../src/api/client.js';
import { schemas } from '../../src/daemon/schemas.js';
import { startFakeDaemon, type FakeDaemon } from '../support/fake-daemon.js';
import { FUZZ_RUNS, spoilt } from '../support/fuzzing.js';
import { useScratch } from '../support/mounts.js';

/** Longer than any answer takes: who sends half a request waits for the other half. */
const PATIENCE_MS = 100;
const AT_ONCE = 16;
/** Not what stops the daemon, or what a fake pool and host would take for true. */
const OPERATIONS = Object.keys(schemas).filter((name) => name !== 'stop');

const body = fc.oneof(
  fc.json(),
  fc.constantFrom('{"name":"web"}', '{"name":"../../etc","kind":"image"}', '[[['.repeat(2000), ''),
);
const httpRequest = fc
  .record({
    method: fc.constantFrom('POST', 'GET', 'PUT', 'CONNECT', 'post'),
    path: fc.oneof(
      fc.constantFrom(...OPERATIONS).map((name) => `/v1/${name}`),
      fc.constantFrom('/', '*', '/v1/../v1/status', '/v1/%00', '/v1/__proto__'),
    ),
    length: fc.oneof(
      fc.constant(undefined),
      fc.constantFrom('0', '-1', '5', '99999999999999999999', '1, 2', 'x'),
    ),
    extra: fc.constantFrom(
      '',
      'Transfer-Encoding: chunked\r\n',
      'Upgrade: websocket\r\nConnection: Upgrade\r\n',
      'Expect: 100-continue\r\n',
      `X: ${'y'.repeat(20_000)}\r\n`,
    ),
    body,
  })
  .map(({ method, path, length, extra, body: text }) =>
    Buffer.from(
      `${method} ${path} HTTP/1.1\r\nHost: thinfuse\r\nContent-Type: application/json\r\nContent-Length: ${length ?? String(Buffer.byteLength(text))}\r\n${extra}\r\n${text}`,
    ),
  );
const garbage = fc.oneof(
  { weight: 3, arbitrary: spoilt(httpRequest) },
  { weight: 2, arbitrary: httpRequest },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 2000 }) },
);

describe('fuzz: the control socket', function () {
  this.timeout(0);
  const scratch = useScratch();
  let fake: FakeDaemon;

  before(async () => {
    fake = await startFakeDaemon(scratch.current.at('root'));
  });
  after(() => fake.daemon.stop('the test is over'));

  /** Sends it, and hangs up when the daemon does or after a moment. */
  const send = (bytes: Uint8Array): Promise<string> =>
    new Promise((resolve) => {
      let answer = '';
      const socket = connect(fake.socket);
      const end = (): void => {
        clearTimeout(timer);
        socket.destroy();
        resolve(answer);
      };
      const timer = setTimeout(end, PATIENCE_MS);
      socket.on('data', (piece) => {
        answer += piece.toString('latin1');
      });
      socket.once('close', end);
      socket.once('error', end);
      socket.write(bytes);
    });

  it('survives garbage, answers what can be answered, and goes on serving', async () => {
    const client = new SocketClient(fake.socket);
    await fc.assert(
      fc.asyncProperty(fc.array(garbage, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (each) => {
        for (const answer of await Promise.all(each.map(send)))
          assert.match(answer, /^(HTTP\/1\.1 [1-5]\d\d |$)/);
        assert.equal((await client.call('status', {})).pid, process.pid);
      }),
      { numRuns: Math.ceil(FUZZ_RUNS / AT_ONCE) },
    );
  });

  it('lets callers hang up in the middle, whatever they asked', async () => {
    const client = new SocketClient(fake.socket);
    const whole = Buffer.from(
      'POST /v1/device.list HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}',
    );
    for (let at = 1; at < whole.length; at += 9)
      await new Promise<void>((resolve) => {
        const socket = connect(fake.socket, () => {
          socket.write(whole.subarray(0, at), () => {
            socket.destroy();
            resolve();
          });
        });
      });
    assert.equal((await client.call('status', {})).pid, process.pid);
  });

  it('refuses what is too large before it has taken it in', async () => {
    const head = 'POST /v1/device.get HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n';
    assert.match(
      await send(Buffer.from(`${head}Content-Length: 10000000000\r\n\r\n{`)),
      /^HTTP\/1\.1 400 .*"too-large"/s,
    );
    const chunk = `8000\r\n${' '.repeat(0x8000)}\r\n`;
    assert.match(
      await send(Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk.repeat(4)}`)),
      /^HTTP\/1\.1 400 .*"too-large"/s,
    );
  });
});
