import { z } from 'zod';
import { ThinError } from '../errors/thin-error.js';
import type { OperationName, Operations } from './api.js';

const empty = z.strictObject({});
const name = z.string();
const named = z.strictObject({ name });
const bytes = z.number().int().positive();
const viewed = z.strictObject({ name, holder: z.number().int().positive() });

type Schemas = { readonly [K in OperationName]: z.ZodType<Operations[K]['input']> };

/** Shapes only; what a name or a size may be is checked where it is used, with a better message. */
export const schemas: Schemas = {
  status: empty,
  'pool.info': empty,
  'pool.check': empty,
  'pool.commit': empty,
  'pool.settle': empty,
  'device.list': empty,
  'device.get': named,
  'device.create': z.strictObject({
    name,
    origin: name.optional(),
    kind: z.enum(['image', 'container', 'snapshot']),
    size: bytes.optional(),
  }),
  'device.seal': named,
  'device.rename': z.strictObject({ name, to: name }),
  'device.grow': z.strictObject({ name, size: bytes }),
  'device.remove': z.strictObject({ name, force: z.boolean().optional() }),
  'base.format': empty,
  activate: named,
  deactivate: named,
  mount: z.strictObject({ name, target: z.string().optional(), readOnly: z.boolean().optional() }),
  umount: named,
  'view.open': viewed,
  'view.close': viewed,
  stop: z.strictObject({ force: z.boolean().optional() }),
};

export function isOperationName(text: string): text is OperationName {
  return Object.hasOwn(schemas, text);
}

/** @throws ThinError invalid-argument naming the operation and each field that is wrong. */
export function parseInput<K extends OperationName>(operation: K, input: unknown): Operations[K]['input'] {
  const parsed = schemas[operation].safeParse(input);
  if (parsed.success) return parsed.data;
  const problems = parsed.error.issues.map((issue) =>
    issue.path.length === 0 ? issue.message : `${issue.path.join('.')}: ${issue.message}`,
  );
  throw new ThinError('invalid-argument', `the input of ${operation} is not valid: ${problems.join('; ')}`);
}
