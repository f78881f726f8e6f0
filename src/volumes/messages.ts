import * as z from 'zod';
import { ThinError } from '../errors/thin-error.js';

/**
 * Docker finds plugins by the files in this folder, and calls a driver by its file's name
 * (docker/pkg/plugins/discovery.go).
 */
export const DEFAULT_PLUGIN_SOCKET = '/run/docker/plugins/thinfuse.sock';

/**
 * Docker's volume plugin protocol (docs.docker.com/engine/extend/plugins_volume): `POST /<method>` with JSON
 * both ways, which podman speaks, too. Engines send fields of their own beside these, and leave out what is
 * empty.
 */
const text = z
  .string()
  .nullish()
  .transform((value) => value ?? '');
const named = z.object({ Name: z.string() });
const mounting = z.object({ Name: z.string(), ID: text });
const nothing = z.unknown();

const requests = {
  'Plugin.Activate': nothing,
  'VolumeDriver.Create': z.object({
    Name: z.string(),
    Opts: z
      .record(z.string(), z.string())
      .nullish()
      .transform((value) => value ?? {}),
  }),
  'VolumeDriver.Remove': named,
  'VolumeDriver.Mount': mounting,
  'VolumeDriver.Unmount': mounting,
  'VolumeDriver.Path': named,
  'VolumeDriver.Get': named,
  'VolumeDriver.List': nothing,
  'VolumeDriver.Capabilities': nothing,
} as const;

export type Method = keyof typeof requests;
export type Requests = { readonly [K in Method]: z.output<(typeof requests)[K]> };

/** A volume as engines show it. */
export interface VolumeMessage {
  readonly Name: string;
  /** Empty while it is not mounted. */
  readonly Mountpoint: string;
  /** RFC 3339. */
  readonly CreatedAt: string;
  /** What `docker volume inspect` shows below Status. */
  readonly Status: Readonly<Record<string, string | number>>;
}

export interface Responses {
  'Plugin.Activate': { readonly Implements: readonly string[] };
  'VolumeDriver.Create': Failable;
  'VolumeDriver.Remove': Failable;
  'VolumeDriver.Mount': Failable & { readonly Mountpoint: string };
  'VolumeDriver.Unmount': Failable;
  'VolumeDriver.Path': Failable & { readonly Mountpoint: string };
  'VolumeDriver.Get': Failable & { readonly Volume: VolumeMessage };
  'VolumeDriver.List': Failable & { readonly Volumes: readonly VolumeMessage[] };
  'VolumeDriver.Capabilities': { readonly Capabilities: { readonly Scope: 'local' } };
}

/** Empty: no failure. */
interface Failable {
  readonly Err: '';
}

export const METHODS = Object.keys(requests) as readonly Method[];

/** @throws ThinError invalid-argument naming the method and each field that is wrong */
export function parseRequest<K extends Method>(method: K, body: unknown): Requests[K] {
  const parsed = requests[method].safeParse(body);
  if (parsed.success) return parsed.data as Requests[K];
  const problems = parsed.error.issues.map(({ path, message }) => [...path.map(String), message].join(': '));
  throw new ThinError('invalid-argument', `the request ${method} is not valid: ${problems.join('; ')}`);
}
