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
      throw await this.#suggested(error as ThinError, device, input);
    }
  }

  text<K extends TextOperationName>(name: K, input: TextOperations[K]['input']): AsyncIterable<string> {
    return this.#inner.text(name, input);
  }

  async #suggested(error: ThinError, device: string, input: object): Promise<ThinError> {
    const names = (await this.#inner.call('device.list', {}).catch(() => [])).map(({ name }) => name);
    const { text, details } = areTurned(input, names)
      ? { text: '; the name of what is made comes first, then the device that it starts from', details: {} }
      : suggestion(device, names);
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

/** zfs and LVM name the origin first. */
function areTurned(input: object, names: readonly string[]): boolean {
  return 'origin' in input && 'name' in input && typeof input.name === 'string' && names.includes(input.name);
}
