import type { ServiceDefinition } from '@grpc/grpc-js';
import { z } from 'zod';

/** The numbers of a message that its sender set and its definition here does not have. */
export const UNKNOWN = Symbol('unknown fields');

/** As proto-loader tells of a message. */
const described = z.object({ type: z.object({ field: z.array(z.object({ number: z.number() })) }) });

/**
 * The same service, but that a request with fields which its definition does not have carries their numbers
 * as `UNKNOWN`: Protocol Buffers drop them in silence, and a newer client would be told that all was done.
 */
export function noticingUnknown(service: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(service).map(([name, method]) => {
      const { requestType } = method as unknown as { requestType: unknown };
      const known = new Set(described.parse(requestType).type.field.map(({ number }) => number));
      const requestDeserialize = (bytes: Buffer): object => {
        const unknown = fieldsOf(bytes).filter((number) => !known.has(number));
        const request = method.requestDeserialize(bytes) as object;
        return unknown.length === 0 ? request : { ...request, [UNKNOWN]: unknown };
      };
      return [name, { ...method, requestDeserialize }];
    }),
  );
}

/** Field numbers at the top of a message. Stops where the bytes are no message: decoding says so. */
export function fieldsOf(bytes: Uint8Array): readonly number[] {
  const numbers = new Set<number>();
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; at < bytes.length; shift += 7) {
      const byte = bytes[at++]!;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) break;
    }
    return value;
  };
  while (at < bytes.length) {
    const tag = varint();
    numbers.add(Math.floor(tag / 8));
    switch (tag % 8) {
      case 0:
        varint();
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = varint();
        at += length;
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        return [...numbers];
    }
  }
  return [...numbers];
}
