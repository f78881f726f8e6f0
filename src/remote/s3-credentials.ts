import { ThinError } from '../errors/thin-error.js';

export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string | undefined;
}

/** Milliseconds before credentials end at which others are fetched. */
const EARLY = 60_000;

/**
 * The credentials of AWS's usual chain: environment, shared config and its profiles, SSO, processes, web
 * identity tokens, containers' and instances' metadata. Kept until they end.
 */
export class CredentialChain {
  readonly #env: Readonly<Record<string, string | undefined>>;
  #current: (S3Credentials & { readonly expiration?: Date | undefined }) | undefined;

  /**
   * @param env what of it says where the shared files are and which profile counts; the rest is the process's
   */
  constructor(env: Readonly<Record<string, string | undefined>> = process.env) {
    this.#env = env;
  }

  /** Errors: permission, where there are none. */
  async get(): Promise<S3Credentials> {
    const ends = this.#current?.expiration?.getTime() ?? Infinity;
    if (this.#current !== undefined && ends - EARLY > Date.now()) return this.#current;
    // Loaded only here: most commands need none.
    const { fromNodeProviderChain } = await import('@aws-sdk/credential-providers');
    try {
      this.#current = await fromNodeProviderChain({ ignoreCache: true, ...this.#places() })();
      return this.#current;
    } catch (error) {
      throw new ThinError(
        'permission',
        'no credentials for S3 were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or write them into ~/.aws/credentials',
        { cause: error },
      );
    }
  }

  /** What is not the process's own, which the chain reads by itself. */
  #places(): { profile?: string; filepath?: string; configFilepath?: string } {
    const other = (name: string): string | undefined =>
      this.#env[name] === process.env[name] ? undefined : this.#env[name];
    const [profile, filepath, configFilepath] = [
      other('AWS_PROFILE'),
      other('AWS_SHARED_CREDENTIALS_FILE'),
      other('AWS_CONFIG_FILE'),
    ];
    return {
      ...(profile !== undefined && { profile }),
      ...(filepath !== undefined && { filepath }),
      ...(configFilepath !== undefined && { configFilepath }),
    };
  }

  /** The next `get` looks for them anew. */
  forget(): void {
    this.#current = undefined;
  }
}
