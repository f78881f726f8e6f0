// One call of the container runtime interface: node --import tsx scripts/cri/call.ts SOCKET METHOD JSON
// Prints the answer as JSON; bytes come out as text.

import path from 'node:path';
import { credentials, loadPackageDefinition, type Client, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

type Answer = (error: ServiceError | null, response: unknown) => void;
type CriClient = Client & Readonly<Record<string, (request: object, answer: Answer) => void>>;
type CriService = new (address: string, how: object) => CriClient;

const [socket = '', method = '', request = '{}'] = process.argv.slice(2);
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
const Service = method.includes('Image') ? ImageService : RuntimeService;
const client = new Service(`unix:${socket}`, credentials.createInsecure());

client[method]?.(JSON.parse(request) as object, (error, response) => {
  if (error === null) {
    const shown = (_key: string, value: unknown): unknown =>
      typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer'
        ? Buffer.from((value as unknown as { data: number[] }).data).toString()
        : value;
    console.log(JSON.stringify(response, shown));
  } else {
    console.error(`${method}: ${error.details}`);
    process.exitCode = 1;
  }
  client.close();
});
