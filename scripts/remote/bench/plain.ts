/**
 * What a plain program does with a store, as fast as it can:
 *
 *     plain.ts get s3|oci HOST PLACE TAG    reads all packs of an image, in ranges, many at a time
 *     plain.ts put s3|oci HOST PLACE        puts standard input, in objects of 16 MiB, some at a time
 *
 * Prints the bytes.
 */
import { createHash } from 'node:crypto';
import http from 'node:http';
import { AwsV4Signer } from 'aws4fetch';

const RANGE = 2 * 2 ** 20;
const GETS = 12;
const OBJECT = 16 * 2 ** 20;
const PUTS = 3;

const [what = '', kind = '', host = '', place = '', tag = ''] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: Buffer;
}

async function ask(
  path: string,
  { method = 'GET', headers = {}, body }: Asked = {},
): Promise<{ body: Buffer; headers: http.IncomingHttpHeaders }> {
  const url = new URL(path, `http://${host}`);
  const signed = kind === 's3' ? await sign(url, method, headers) : headers;
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': `${body.length}` };
    const request = http.request(url, { method, agent, headers: { ...signed, ...length } }, (response) => {
      const pieces: Buffer[] = [];
      response.on('data', (piece: Buffer) => pieces.push(piece));
      response.on('error', reject);
      response.on('end', () => {
        if ((response.statusCode ?? 500) < 300)
          resolve({ body: Buffer.concat(pieces), headers: response.headers });
        else reject(new Error(`${method} ${path}: ${response.statusCode}`));
      });
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function sign(
  url: URL,
  method: string,
  headers: Record<string, string>,
): Promise<Record<string, string>> {
  const { AWS_ACCESS_KEY_ID = '', AWS_SECRET_ACCESS_KEY = '' } = process.env;
  const signer = new AwsV4Signer({
    url: url.href,
    method,
    headers: { ...headers, 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
    accessKeyId: AWS_ACCESS_KEY_ID,
    secretAccessKey: AWS_SECRET_ACCESS_KEY,
    service: 's3',
    region: 'us-east-1',
  });
  return Object.fromEntries((await signer.sign()).headers);
}

async function packs(): Promise<{ path: string; size: number }[]> {
  if (kind === 's3') {
    const image = (await ask(`/thinfuse-test/${place}/tags/${tag}`)).body.toString().trim();
    const manifest = JSON.parse(
      (await ask(`/thinfuse-test/${place}/manifests/${image}`)).body.toString(),
    ) as {
      packs: { digest: string; size: number }[];
    };
    return manifest.packs.map(({ digest, size }) => ({
      path: `/thinfuse-test/${place}/packs/${digest}`,
      size,
    }));
  }
  const accept = { accept: 'application/vnd.oci.image.manifest.v1+json' };
  const { layers } = JSON.parse(
    (await ask(`/v2/${place}/manifests/${tag}`, { headers: accept })).body.toString(),
  ) as { layers: { mediaType: string; digest: string; size: number }[] };
  return layers
    .filter(({ mediaType }) => mediaType.includes('.pack.'))
    .map(({ digest, size }) => ({ path: `/v2/${place}/blobs/${digest}`, size }));
}

async function get(): Promise<number> {
  const ranges = (await packs()).flatMap(({ path, size }) =>
    Array.from({ length: Math.ceil(size / RANGE) }, (_, at) => ({
      path,
      range: `bytes=${at * RANGE}-${Math.min(size, (at + 1) * RANGE) - 1}`,
    })),
  );
  let bytes = 0;
  const worker = async (): Promise<void> => {
    for (let next = ranges.shift(); next !== undefined; next = ranges.shift())
      bytes += (await ask(next.path, { headers: { range: next.range } })).body.length;
  };
  await Promise.all(Array.from({ length: GETS }, worker));
  return bytes;
}

async function putOne(body: Buffer, number: number): Promise<void> {
  if (kind === 's3') {
    await ask(`/thinfuse-test/${place}/${number}`, { method: 'PUT', body });
    return;
  }
  const digest = createHash('sha256').update(body).digest('hex');
  const { headers } = await ask(`/v2/${place}/blobs/uploads/`, { method: 'POST', body: Buffer.alloc(0) });
  const location = new URL(headers.location ?? '', `http://${host}`);
  location.searchParams.set('digest', `sha256:${digest}`);
  await ask(location.href, { method: 'PUT', body, headers: { 'content-type': 'application/octet-stream' } });
}

async function put(): Promise<number> {
  let [bytes, length, number] = [0, 0, 0];
  let pieces: Buffer[] = [];
  const running = new Set<Promise<void>>();
  const send = async (): Promise<void> => {
    const work = putOne(Buffer.concat(pieces), number++).finally(() => running.delete(work));
    running.add(work);
    [pieces, length] = [[], 0];
    while (running.size > PUTS) await Promise.race(running);
  };
  for await (const piece of process.stdin as AsyncIterable<Buffer>) {
    pieces.push(piece);
    length += piece.length;
    bytes += piece.length;
    if (length >= OBJECT) await send();
  }
  if (length > 0) await send();
  await Promise.all(running);
  return bytes;
}

console.log(await (what === 'get' ? get() : put()));
agent.destroy();
