import path from 'node:path';
import { ThinError } from '../errors/thin-error.js';

type Environment = Readonly<Record<string, string | undefined>>;

/** Where a store is. They are those of the pull, whatever the daemon's are. */
const PLACES = [
  'AWS_ENDPOINT_URL_S3',
  'AWS_ENDPOINT_URL',
  'AWS_REGION',
  'AWS_DEFAULT_REGION',
  'THINFUSE_S3_ADDRESSING',
  'THINFUSE_OCI_PLAIN_HTTP',
];
/** Where credentials and certificates are. The daemon's own count where the pull has none. */
const FILES = [
  'AWS_CA_BUNDLE',
  'AWS_CONFIG_FILE',
  'AWS_SHARED_CREDENTIALS_FILE',
  'REGISTRY_AUTH_FILE',
  'DOCKER_CONFIG',
  'SSL_CERT_FILE',
  'THINFUSE_OCI_HOSTS',
];

/**
 * What a daemon has to know of a command's environment to reach the same store: no secrets.
 * @throws ThinError invalid-argument, where an address has a password in it
 */
export function lazySettings(env: Environment): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const name of [...PLACES, ...FILES, 'AWS_PROFILE']) {
    const value = env[name];
    if (value === undefined || value === '') continue;
    settings[name] = FILES.includes(name) ? path.resolve(value) : value;
  }
  for (const name of ['AWS_ENDPOINT_URL_S3', 'AWS_ENDPOINT_URL'])
    if (URL.canParse(settings[name] ?? '') && new URL(settings[name]!).password !== '')
      throw new ThinError(
        'invalid-argument',
        `${name} has a password in it, and the pool would store it; give credentials in the usual ways`,
      );
  return settings;
}

/** The environment in which an image is reached. */
export function lazyEnvironment(settings: Environment, own: Environment): Environment {
  const rest = Object.entries(own).filter(([name]) => !PLACES.includes(name));
  return { ...Object.fromEntries(rest), ...settings };
}
