import path from 'node:path';
import type { ServiceDefinition } from '@grpc/grpc-js';
import { load } from '@grpc/proto-loader';

const FOLDER = path.join(import.meta.dirname, '../../proto');

/** containerd's services, as far as thinfuse speaks them, each with its file in `proto/`. */
const SERVICES = {
  snapshots: 'containerd.services.snapshots.v1.Snapshots',
  diff: 'containerd.services.diff.v1.Diff',
  content: 'containerd.services.content.v1.Content',
  leases: 'containerd.services.leases.v1.Leases',
} as const;

/** 64-bit numbers are text, names in camel case, enumerations words, defaults filled in. */
export async function serviceOf(name: keyof typeof SERVICES): Promise<ServiceDefinition> {
  const definition = await load(path.join(FOLDER, `${name}.proto`), {
    longs: String,
    enums: String,
    defaults: true,
  });
  // proto-loader gives one definition for every service, message and enumeration in the file.
  return definition[SERVICES[name]] as ServiceDefinition;
}
