import { ThinError } from '../errors/thin-error.js';
import type { HttpAnswer } from './http-client.js';
import type { OciRequest, OciSession } from './oci-session.js';
import { Stopwatch } from './stopwatch.js';

/** Milliseconds for which a mirror that does not answer is not asked again. */
const PAUSE = 30_000;

/** What a store asks of its registry. */
export type RegistrySession = Pick<OciSession, 'ask' | 'warm' | 'close'>;

export interface Mirror {
  /** Gives up soon: another host comes after it. */
  readonly session: RegistrySession;
  /** Of its addresses. */
  readonly host: string;
  readonly capabilities: ReadonlySet<string>;
}

/**
 * A registry behind mirrors, each of which may have some of it: reads go to the mirrors in their order, and
 * to the registry where none has it. All else goes to the registry.
 */
export class MirroredSession implements RegistrySession {
  readonly #mirrors: readonly Mirror[];
  readonly #registry: RegistrySession;
  readonly #failed = new Map<Mirror, Stopwatch>();
  #unreached: Stopwatch | undefined;

  constructor(mirrors: readonly Mirror[], registry: RegistrySession) {
    this.#mirrors = mirrors;
    this.#registry = registry;
  }

  async ask(request: OciRequest): Promise<HttpAnswer> {
    let lacking: HttpAnswer | undefined;
    for (const mirror of this.#mirrorsFor(request)) {
      const answer = await this.#try(mirror, request);
      if (answer !== undefined && answer.status < 300) return answer;
      lacking ??= answer;
    }
    return lacking === undefined ? this.#registry.ask(request) : this.#askAfter(lacking, request);
  }

  warm(connections: number): void {
    (this.#mirrors[0]?.session ?? this.#registry).warm(connections);
  }

  close(): void {
    for (const { session } of this.#mirrors) session.close();
    this.#registry.close();
  }

  #mirrorsFor({ method, path }: OciRequest): readonly Mirror[] {
    if (method !== 'GET' && method !== 'HEAD') return [];
    if (typeof path !== 'string') return this.#mirrors.filter(({ host }) => host === path.host);
    const needed = /^(blobs|manifests)\/sha256:/.test(path) ? 'pull' : 'resolve';
    return this.#mirrors.filter((mirror) => {
      const failed = this.#failed.get(mirror);
      return mirror.capabilities.has(needed) && (failed === undefined || failed.elapsed > PAUSE);
    });
  }

  /** @param lacking a mirror's, which counts where the registry is not reached, as behind a firewall */
  async #askAfter(lacking: HttpAnswer, request: OciRequest): Promise<HttpAnswer> {
    if (this.#unreached !== undefined && this.#unreached.elapsed < PAUSE) return lacking;
    try {
      const answer = await this.#registry.ask(request);
      this.#unreached = undefined;
      return answer;
    } catch (error) {
      if (!(error instanceof ThinError) || error.code !== 'io') throw error;
      this.#unreached = new Stopwatch();
      return lacking;
    }
  }

  /** Undefined: it does not answer as it should. */
  async #try(mirror: Mirror, request: OciRequest): Promise<HttpAnswer | undefined> {
    try {
      const answer = await mirror.session.ask(request);
      this.#failed.delete(mirror);
      return answer;
    } catch (error) {
      // The signal ends it all.
      if (request.signal?.aborted === true) throw error;
      if (!(error instanceof ThinError) || error.details['status'] === undefined)
        this.#failed.set(mirror, new Stopwatch());
      return undefined;
    }
  }
}
