import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { parse, TomlError } from 'smol-toml';
import * as z from 'zod';
import { ThinError, systemErrorCode } from '../errors/thin-error.js';

/** Where containerd's CRI is told to look, in the documents of containerd and of Kubernetes. */
export const USUAL_HOSTS = '/etc/containerd/certs.d';

const CAPABILITIES = ['pull', 'resolve', 'push'] as const;

const texts = z.union([z.string().transform((text) => [text]), z.array(z.string())]);
const host = z.looseObject({
  capabilities: z.array(z.string()).optional(),
  ca: texts.optional(),
  /** A file with both, or pairs of a certificate and its key. */
  client: z.union([texts, z.array(z.tuple([z.string(), z.string()]))]).optional(),
  skip_verify: z.boolean().optional(),
  override_path: z.boolean().optional(),
  header: z.record(z.string(), texts).optional(),
});
const hostsFile = host.extend({ server: z.string().optional(), host: z.record(z.string(), host).optional() });

/** A host that serves what a registry has, as containerd's `hosts.toml` describes it. */
export interface RegistryHost {
  /** The API, with a slash at its end: `https://mirror.example.org/v2/`. */
  readonly api: URL;
  readonly capabilities: ReadonlySet<string>;
  /** Files in PEM. */
  readonly ca: readonly string[];
  readonly client: { readonly cert: string; readonly key: string } | undefined;
  /** Whether its certificate is looked at. */
  readonly isVerified: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

export interface RegistryHosts {
  /** In the order of the file. */
  readonly mirrors: readonly RegistryHost[];
  /** What comes last. */
  readonly server: RegistryHost;
}

/**
 * What the folder says of a registry: the `hosts.toml` of HOST, else that of `_default`. Undefined: there is
 * none. Errors: invalid-argument (a file that containerd would not take).
 * @param registry the registry itself, where the file names no other
 */
export async function registryHosts(
  folder: string,
  name: string,
  registry: URL,
): Promise<RegistryHosts | undefined> {
  for (const place of [name.replace(/:(\d+)$/, '_$1_'), name, '_default']) {
    const file = path.join(folder, place, 'hosts.toml');
    const text = await readFile(file, 'utf8').catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return undefined;
      throw new ThinError('invalid-argument', `${file} cannot be read`, { cause: error });
    });
    if (text !== undefined) return hostsIn(text, file, registry);
  }
  return undefined;
}

function hostsIn(text: string, file: string, registry: URL): RegistryHosts {
  const { server, host: hosts = {}, ...own } = parsed(text, file);
  const known = (address: string, fields: z.infer<typeof host>): RegistryHost =>
    described(addressed(address, file), fields, file);
  return {
    mirrors: Object.entries(hosts).map(([address, fields]) => known(address, fields)),
    server: known(server ?? registry.href, own),
  };
}

function parsed(text: string, file: string): z.infer<typeof hostsFile> {
  try {
    return hostsFile.parse(parse(text));
  } catch (error) {
    if (!(error instanceof TomlError) && !(error instanceof z.ZodError)) throw error;
    throw new ThinError('invalid-argument', `${file} is no hosts.toml: ${error.message.split('\n')[0]}`, {
      cause: error,
      details: { path: file },
    });
  }
}

/** An address without a scheme is one of TLS, but of this host. */
function addressed(text: string, file: string): URL {
  const isLocal = /^(localhost|127\.[0-9.]+|\[::1\])(:\d+)?(\/|$)/.test(text);
  const full = /^https?:\/\//.test(text) ? text : `${isLocal ? 'http' : 'https'}://${text}`;
  if (URL.canParse(full)) return new URL(full);
  throw new ThinError('invalid-argument', `${file}: ${JSON.stringify(text)} is not an address`);
}

function described(address: URL, fields: z.infer<typeof host>, file: string): RegistryHost {
  const given = address.pathname.replace(/\/+$/, '');
  const hasApi = fields.override_path === true || given.endsWith('/v2');
  const at = (name: string): string => path.resolve(path.dirname(file), name);
  const first = fields.client?.[0];
  const [cert, key] = first === undefined ? [] : typeof first === 'string' ? [first, first] : first;
  return {
    api: new URL(`${hasApi ? given : `${given}/v2`}/`, address),
    capabilities: new Set(fields.capabilities ?? CAPABILITIES),
    ca: (fields.ca ?? []).map(at),
    client: cert === undefined || key === undefined ? undefined : { cert: at(cert), key: at(key) },
    isVerified: fields.skip_verify !== true,
    headers: Object.fromEntries(
      Object.entries(fields.header ?? {}).map(([name, values]) => [name.toLowerCase(), values.join(', ')]),
    ),
  };
}
