import path from 'node:path';
import { credentials, loadPackageDefinition, type Client, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

type Answer = (error: ServiceError | null, response: unknown) => void;
type CriClient = Client & Readonly<Record<string, (request: object, answer: Answer) => void>>;
type CriService = new (address: string, how: object) => CriClient;

/** The container runtime interface on a socket. */
export class Cri {
  readonly #runtime: CriClient;
  readonly #images: CriClient;

  constructor(socket: string) {
    const definition = loadSync(path.join(import.meta.dirname, 'runtime.proto'), {
      keepCase: true,
      longs: String,
      enums: String,
      defaults: true,
    });
    // What proto-loader makes is known only by the file it reads.
    const loaded = loadPackageDefinition(definition) as unknown as {
      runtime: { v1: { RuntimeService: CriService; ImageService: CriService } };
    };
    const { RuntimeService, ImageService } = loaded.runtime.v1;
    this.#runtime = new RuntimeService(`unix:${socket}`, credentials.createInsecure());
    this.#images = new ImageService(`unix:${socket}`, credentials.createInsecure());
  }

  call<T>(method: string, request: object): Promise<T> {
    const client = method.includes('Image') ? this.#images : this.#runtime;
    return new Promise((resolve, reject) => {
      const call = client[method];
      if (call === undefined) throw new Error(`runtime.proto has no ${method}`);
      call.call(client, request, (error, response) => {
        if (error === null) resolve(response as T);
        else reject(new Error(`${method}: ${error.details}`));
      });
    });
  }

  close(): void {
    this.#runtime.close();
    this.#images.close();
  }
}
