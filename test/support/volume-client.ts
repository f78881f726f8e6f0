import { request } from 'node:http';
import type { VolumeMessage } from '../../src/volumes/messages.js';

export interface VolumeAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: {
    readonly Err?: string;
    readonly Mountpoint?: string;
    readonly Volume?: VolumeMessage;
    readonly Volumes?: readonly VolumeMessage[];
  };
}

/** What Docker is to a volume plugin, as far as the wire. */
export class VolumeClient {
  readonly #socket: string;

  constructor(socket: string) {
    this.#socket = socket;
  }

  /** Whatever comes back. `body`: as it is where it is text already. */
  post(path: string, body: unknown): Promise<VolumeAnswer> {
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/vnd.docker.plugins.v1.2+json' };
      const call = request({ socketPath: this.#socket, path, method: 'POST', headers }, (response) => {
        const pieces: Buffer[] = [];
        response.on('data', (piece: Buffer) => pieces.push(piece));
        response.once('error', reject);
        response.once('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            type: response.headers['content-type'] ?? '',
            body: JSON.parse(Buffer.concat(pieces).toString()) as VolumeAnswer['body'],
          }),
        );
      });
      call.once('error', reject);
      call.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
    });
  }

  /** Rejects with what the plugin said, as engines show it. */
  async call(method: string, body: object = {}): Promise<VolumeAnswer['body']> {
    const answer = await this.post(`/${method.includes('.') ? method : `VolumeDriver.${method}`}`, body);
    if (answer.status !== 200) throw new Error(answer.body.Err);
    return answer.body;
  }

  async create(Name: string, Opts: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.call('Create', { Name, Opts });
  }

  async mount(Name: string, ID: string): Promise<string> {
    return (await this.call('Mount', { Name, ID })).Mountpoint ?? '';
  }

  async unmount(Name: string, ID: string): Promise<void> {
    await this.call('Unmount', { Name, ID });
  }

  async get(Name: string): Promise<VolumeMessage> {
    const { Volume } = await this.call('Get', { Name });
    if (Volume === undefined) throw new Error('an answer without a volume');
    return Volume;
  }

  async names(): Promise<readonly string[]> {
    return ((await this.call('List')).Volumes ?? []).map(({ Name }) => Name);
  }
}
