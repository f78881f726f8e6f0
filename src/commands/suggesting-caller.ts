import type {
  Caller,
  OperationName,
  Operations,
  TextOperationName,
  TextOperations,
} from '../api/operations.js';
import { suggestion } from '../config/nearest.js';
import { ThinError } from '../errors/thin-error.js';

/** Calls another caller, and where a device is not there, names those that may have been meant. */
export class SuggestingCaller implements Caller {
  readonly #inner: Caller;

  constructor(inner: Caller) {
    this.#inner = inner;
  }

  async call<K extends OperationName>(
    name: K,
    input: Operations[K]['input'],
  ): Promise<Operations[K]['output']> {
    try {
      return await this.#inner.call(name, input);
    } catch (error) {
      const device = error instanceof ThinError && error.code === 'not-found' && error.details['device'];
      if (typeof device !== 'string' || !isAbsent(error as ThinError)) throw error;
      throw await this.#suggested(error as ThinError, device);
    }
  }

  text<K extends TextOperationName>(name: K, input: TextOperations[K]['input']): AsyncIterable<string> {
    return this.#inner.text(name, input);
  }

  async #suggested(error: ThinError, device: string): Promise<ThinError> {
    const devices = await this.#inner.call('device.list', {}).catch(() => []);
    const { text, details } = suggestion(
      device,
      devices.map(({ name }) => name),
    );
    if (text === '') return error;
    return new ThinError(error.code, `${error.message}${text}`, {
      cause: error,
      details: { ...error.details, ...details },
    });
  }
}

/** Not found may be a mount, too. */
function isAbsent({ message }: ThinError): boolean {
  return message.startsWith('no device ');
}
