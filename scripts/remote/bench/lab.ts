import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { run, waitFor } from '../../bench/host.js';

const TOP = path.resolve(import.meta.dirname, '../../..');
const STORE = '10.77.9.1';
const INNER = { s3: 7480, oci: 5055 } as const;

export type StoreKind = keyof typeof INNER;
export type Host = 'a' | 'b';

/** A program of these scripts, as arguments of a command. */
export function script(name: string): string[] {
  const loader = path.join(TOP, 'node_modules/tsx/dist/loader.mjs');
  return [process.execPath, '--import', loader, path.join(TOP, 'scripts/remote', name)];
}

/** The namespaces that `scripts/remote/lab.sh` made, and the pools of its hosts. */
export class Lab {
  readonly folder: string;
  readonly #id: string;
  readonly #cli: string;

  constructor(parts: { readonly id: string; readonly folder: string; readonly cli: string }) {
    this.#id = parts.id;
    this.folder = parts.folder;
    this.#cli = parts.cli;
  }

  /** A command on a host; resolves to its output. */
  on(host: Host, command: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    const net = `--net=/run/netns/tf-${host}-${this.#id}`;
    return run('nsenter', [net, ...command], { env, timeoutMs: 7_200_000 });
  }

  /** `thinfuse` with one of a host's pools. */
  thinfuse(host: Host, pool: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    return this.on(host, [this.#cli, ...args], { ...env, THINFUSE_ROOT: this.pool(pool) });
  }

  pool(name: string): string {
    return path.join(this.folder, `pool-${name}`);
  }

  async link(kind: StoreKind, roundTrip: number): Promise<Link> {
    const port = INNER[kind] + 100;
    const log = path.join(this.folder, `link-${kind}.log`);
    rmSync(log, { force: true });
    const net = `--net=/run/netns/tf-store-${this.#id}`;
    const relay = [`${STORE}:${port}`, `${STORE}:${INNER[kind]}`, `${roundTrip}`, log];
    const child = spawn('nsenter', [net, ...script('slow-link.ts'), ...relay], { stdio: 'inherit' });
    await waitFor('the link', () => existsLog(log));
    return new Link(child, log, `${STORE}:${port}`, kind);
  }
}

/** The way to the store, with a round trip of its own. */
export class Link {
  readonly host: string;
  readonly kind: StoreKind;
  readonly #child: ChildProcess;
  readonly #log: string;
  #read = 0;

  constructor(child: ChildProcess, log: string, host: string, kind: StoreKind) {
    this.#child = child;
    this.#log = log;
    this.host = host;
    this.kind = kind;
  }

  /** What clients need to reach the store this way. */
  get env(): NodeJS.ProcessEnv {
    return this.kind === 's3'
      ? { AWS_ENDPOINT_URL: `http://${this.host}` }
      : { THINFUSE_OCI_PLAIN_HTTP: this.host };
  }

  place(name: string): string {
    return this.kind === 's3' ? `s3://thinfuse-test/${name}` : `oci://${this.host}/${name}`;
  }

  /**
   * Since the last call: how many requests and handshakes followed each other at most, each begun after the
   * end of the one before; and all of them.
   */
  trips(): { readonly sequential: number; readonly all: number } {
    const lines = readFileSync(this.#log, 'utf8').split('\n').slice(1, -1);
    const spans = lines.slice(this.#read).map((line) => line.split(' ').map(Number) as [number, number]);
    this.#read = lines.length;
    let [end, sequential] = [-Infinity, 0];
    for (const [from, to] of spans.sort((x, y) => x[1] - y[1])) {
      if (from < end) continue;
      end = to;
      sequential++;
    }
    return { sequential, all: spans.length };
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.kill();
    await gone;
  }
}

function existsLog(log: string): boolean {
  try {
    return readFileSync(log).length > 0;
  } catch {
    return false;
  }
}
