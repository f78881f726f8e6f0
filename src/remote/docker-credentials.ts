import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import * as z from 'zod';
import { ThinError, systemErrorCode } from '../errors/thin-error.js';

export interface RegistryLogin {
  readonly user: string;
  readonly secret: string;
}

const config = z.object({
  auths: z.record(z.string(), z.object({ auth: z.string().optional() }).loose()).optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
});
type DockerConfig = z.infer<typeof config>;
const helped = z.object({ Username: z.string(), Secret: z.string() });

/** Milliseconds that a credential helper has. */
const HELPER_MS = 30_000;
const DOCKER_HUB = 'https://index.docker.io/v1/';

/**
 * What `docker login`, `podman login` or a credential helper knows of a registry; undefined: nothing. Looked
 * for in REGISTRY_AUTH_FILE, DOCKER_CONFIG/config.json, ~/.docker/config.json and
 * XDG_RUNTIME_DIR/containers/auth.json; the first that knows the host is believed. Errors: invalid-argument
 * (a file that is none), permission (a helper that fails).
 */
export async function loginFor(
  host: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<RegistryLogin | undefined> {
  const folder = env['DOCKER_CONFIG'] ?? path.join(homedir(), '.docker');
  const runtime = env['XDG_RUNTIME_DIR'];
  const files = [
    env['REGISTRY_AUTH_FILE'],
    path.join(folder, 'config.json'),
    runtime === undefined ? undefined : path.join(runtime, 'containers', 'auth.json'),
  ];
  for (const file of files) {
    const found = file === undefined ? undefined : await read(file);
    const login = found === undefined ? undefined : await loginIn(found, host, env);
    if (login !== undefined) return login;
  }
  return undefined;
}

async function read(file: string): Promise<DockerConfig | undefined> {
  try {
    return config.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    if (systemErrorCode(error) !== undefined) return undefined;
    throw new ThinError('invalid-argument', `${file} is not a configuration of Docker's`, {
      details: { path: file },
    });
  }
}

async function loginIn(
  { auths = {}, credHelpers = {}, credsStore }: DockerConfig,
  host: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<RegistryLogin | undefined> {
  const names = host === 'docker.io' ? [DOCKER_HUB, host] : [host, `https://${host}`];
  for (const name of names) {
    const helper = credHelpers[name] ?? (credsStore !== undefined && name in auths ? credsStore : undefined);
    if (helper !== undefined) return askHelper(helper, name, env);
    const auth = auths[name]?.auth;
    if (auth === undefined || auth === '') continue;
    const text = Buffer.from(auth, 'base64').toString('utf8');
    const colon = text.indexOf(':');
    if (colon > 0) return { user: text.slice(0, colon), secret: text.slice(colon + 1).replace(/\0+$/, '') };
  }
  return credsStore === undefined ? undefined : askHelper(credsStore, names[0]!, env).catch(() => undefined);
}

/** docker-credential-NAME get: the server's name on its standard input, JSON on its output. */
function askHelper(
  helper: string,
  server: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<RegistryLogin> {
  const tool = `docker-credential-${helper}`;
  return new Promise((resolve, reject) => {
    const fail = (problem: string): void =>
      reject(new ThinError('permission', `${tool} gives no credentials for ${server}: ${problem}`));
    const child = spawn(tool, ['get'], { env, timeout: HELPER_MS, stdio: ['pipe', 'pipe', 'ignore'] });
    const pieces: Buffer[] = [];
    child.stdout.on('data', (piece: Buffer) => pieces.push(piece));
    child.on('error', (error) => fail(systemErrorCode(error) ?? 'it cannot be run'));
    child.stdin.on('error', () => undefined);
    child.on('close', (code) => {
      const parsed = helped.safeParse(jsonIn(Buffer.concat(pieces)));
      if (code !== 0 || !parsed.success) fail(`it ended with ${code ?? 'a signal'}`);
      else resolve({ user: parsed.data.Username, secret: parsed.data.Secret });
    });
    child.stdin.end(server);
  });
}

function jsonIn(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined;
  }
}
