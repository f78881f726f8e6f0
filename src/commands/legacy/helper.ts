import { spawn } from 'node:child_process';
import * as z from 'zod';
import { packError, unpackError } from '../../api/wire.js';
import { ThinError } from '../../errors/thin-error.js';

/** libuv's default of 4 leaves too few for reads beside those that wait for requests. */
const THREADPOOL_SIZE = '16';

const message = z.union([
  z.object({
    ready: z.object({
      pid: z.number(),
      target: z.string(),
      notes: z.array(z.string()).readonly(),
      lacks: z.string().optional(),
    }),
  }),
  z.object({ failure: z.unknown() }),
]);

/** What a helper that serves says when it does. */
export interface HelperReady {
  readonly pid: number;
  readonly target: string;
  readonly notes: readonly string[];
  /** What the files may lack that it serves. */
  readonly lacks?: string | undefined;
}

/**
 * Runs a command of this program in a session of its own, hands `request` to it and waits until it serves. It
 * ends by itself. Errors: the helper's own.
 */
export async function spawnHelper(args: readonly string[], request: object): Promise<HelperReady> {
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1] ?? '', ...args], {
    detached: true,
    env: { ...process.env, UV_THREADPOOL_SIZE: process.env['UV_THREADPOOL_SIZE'] ?? THREADPOOL_SIZE },
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
  });
  child.send(request);
  const ready = await new Promise<HelperReady>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) =>
      reject(
        new ThinError(
          'internal',
          `the process that serves the device ended before the device was mounted (${signal ?? `exit code ${code}`}); try it with --foreground`,
        ),
      ),
    );
    child.once('message', (said) => {
      const parsed = message.safeParse(said);
      if (parsed.success && 'ready' in parsed.data) resolve(parsed.data.ready);
      else reject(unpackError(parsed.success && 'failure' in parsed.data ? parsed.data.failure : said));
    });
  });
  child.disconnect();
  child.unref();
  return ready;
}

/** In the helper: what `spawnHelper` was given. Errors: internal, if a person typed its command. */
export async function helperRequest(): Promise<unknown> {
  if (process.send === undefined)
    throw new ThinError('internal', 'this command is for thinfuse itself; use thinfuse legacy mount');
  return new Promise((resolve) => process.once('message', resolve));
}

/** In the helper: tells the process that waits; does nothing where none does. */
export async function tellReady(ready: HelperReady): Promise<void> {
  await send({ ready });
}

export async function tellFailure(error: unknown): Promise<void> {
  await send({ failure: packError(error) });
}

async function send(value: z.infer<typeof message>): Promise<void> {
  await new Promise<void>((resolve) => {
    if (process.send === undefined || !process.connected) resolve();
    else process.send(value, () => resolve());
  });
}
