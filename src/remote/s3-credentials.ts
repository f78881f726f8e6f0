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
  #current: (S3Credentials & { readonly expiration?: Date | undefined }) | undefined;

  /** Errors: permission, where there are none. */
  async get(): Promise<S3Credentials> {
    const ends = this.#current?.expiration?.getTime() ?? Infinity;
    if (this.#current !== undefined && ends - EARLY > Date.now()) return this.#current;
    // Loaded only here: most commands need none.
    const { fromNodeProviderChain } = await import('@aws-sdk/credential-providers');
    try {
      this.#current = await fromNodeProviderChain({ ignoreCache: true })();
      return this.#current;
    } catch (error) {
      throw new ThinError(
        'permission',
        'no credentials for S3 were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or write them into ~/.aws/credentials',
        { cause: error },
      );
    }
  }

  /** The next `get` looks for them anew. */
  forget(): void {
    this.#current = undefined;
  }
}
