import { on } from 'node:events';
import { ThinError, type ThinErrorCode } from '../errors/thin-error.js';
import { startThread } from '../threads/start-thread.js';

interface PackedError {
  readonly code: ThinErrorCode;
  readonly message: string;
  readonly details: ThinError['details'];
}

/** The messages of the thread: each damaged place, then the result. */
export type FilesCheckMessage =
  { readonly found: PackedError } | { readonly failure: PackedError } | { readonly end: true };

/**
 * All that is damaged in the files of a store, found by a thread of its own: every byte is read and summed,
 * which takes as long as there are tables, and the thread that asks has others to serve. It rests as long as
 * it works, so that at least half of the disk is left to them. As `damagedFiles` otherwise.
 */
export async function* damagedFilesApart(path: string): AsyncGenerator<ThinError> {
  const thread = startThread(import.meta.url, 'level-check-thread', { path });
  try {
    for await (const [message] of on(thread, 'message', { close: ['exit'] }) as AsyncIterable<
      [FilesCheckMessage]
    >) {
      if ('end' in message) return;
      if ('failure' in message) throw unpacked(message.failure);
      yield unpacked(message.found);
    }
    throw new ThinError('internal', `the thread that checks the files in ${path} ended before it was done`);
  } finally {
    await thread.terminate();
  }
}

function unpacked({ code, message, details }: PackedError): ThinError {
  return new ThinError(code, message, { details });
}
