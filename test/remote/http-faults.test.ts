import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { digestOf } from '../../src/remote/digest.js';
import { HttpClient } from '../../src/remote/http-client.js';
import { S3Store } from '../../src/remote/s3-store.js';

type Fault = (response: ServerResponse, request: IncomingMessage) => void;

const BYTES = Buffer.alloc(100_000, 7);
const RANGE = { offset: 1000, length: 70_000 };

/** A store that answers with faults first, one a request, and then as it should. */
describe('a store that fails', () => {
  let faults: Fault[] = [];
  let requests: { readonly method: string; readonly key: string }[] = [];
  let store: S3Store;
  const server = createServer((request, response) => {
    const key = /Credential=(\w+)/.exec(request.headers.authorization ?? '')?.[1] ?? '';
    requests.push({ method: request.method ?? '', key });
    const fault = faults.shift();
    if (fault !== undefined) fault(response, request);
    else response.writeHead(206).end(BYTES.subarray(RANGE.offset, RANGE.offset + RANGE.length));
  });
  let round = 0;

  before((done) => {
    server.listen(0, '127.0.0.1', done);
  });
  after((done) => {
    server.closeAllConnections();
    server.close(done);
  });
  beforeEach(() => {
    const address = server.address();
    assert.ok(typeof address === 'object' && address !== null);
    requests = [];
    store = new S3Store({
      url: 's3://bucket',
      bucket: 'bucket',
      prefix: '',
      endpoint: new URL(`http://127.0.0.1:${address.port}`),
      region: 'us-east-1',
      pathStyle: true,
      credentials: {
        get: () => Promise.resolve({ accessKeyId: `KEY${round}`, secretAccessKey: 'secret' }),
        forget: () => {
          round++;
        },
      },
      http: new HttpClient({ idleMs: 300, connections: 4 }),
      retry: { forMs: 5000, firstMs: 5, mostMs: 20 },
    });
  });
  afterEach(() => store.close());

  function read(): Promise<Uint8Array> {
    return store.read('pack', digestOf(BYTES), RANGE);
  }

  const status =
    (code: number): Fault =>
    (response) =>
      void response.writeHead(code).end('<Error><Code>SlowDown</Code></Error>');
  const passing: Readonly<Record<string, Fault>> = {
    '500': status(500),
    '503': status(503),
    '429': status(429),
    'a short body': (response) =>
      void response.writeHead(206).end(BYTES.subarray(RANGE.offset, RANGE.offset + 10)),
    'a body that is cut off': (response) => {
      response.writeHead(206, { 'content-length': RANGE.length });
      response.write(BYTES.subarray(0, 5000), () => response.destroy());
    },
    'a whole body in place of the range': (response) => void response.writeHead(200).end(BYTES),
    'nothing at all': () => undefined,
    'a connection that breaks': (response) => void response.destroy(),
  };
  for (const [name, fault] of Object.entries(passing))
    it(`is asked again after ${name}`, async () => {
      faults = [fault, fault];
      assert.deepEqual(Buffer.from(await read()), BYTES.subarray(RANGE.offset, RANGE.offset + RANGE.length));
      assert.equal(requests.length, 3);
    });

  it('is asked once more with fresh credentials where it refuses, and no more', async () => {
    faults = [status(403)];
    await read();
    assert.equal(requests.length, 2);
    assert.notEqual(requests[0]!.key, requests[1]!.key);
    faults = [status(403), status(403)];
    await assert.rejects(read(), { code: 'permission' });
  });

  it('is given up when time is over, and there again when it is', async () => {
    faults = Array.from({ length: 2000 }, () => status(500));
    await assert.rejects(read(), { code: 'io' });
    faults = [];
    await read();
  });

  it('is not asked on when nobody waits any more', async () => {
    faults = Array.from({ length: 2000 }, () => status(500));
    const controller = new AbortController();
    const reading = store.read('pack', digestOf(BYTES), RANGE, controller.signal);
    controller.abort(new Error('enough'));
    await assert.rejects(reading);
    faults = [];
  });

  it('is not believed where a whole object is not what its name says', async () => {
    faults = [(response) => void response.writeHead(200).end('something else')];
    await assert.rejects(store.read('manifest', digestOf(BYTES)), { code: 'damaged' });
  });
});
