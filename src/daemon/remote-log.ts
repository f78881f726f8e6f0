import type { Logger } from 'pino';

/** @param problem undefined: bytes of images in stores can be fetched again */
export function logRemote(log: Logger, problem: string | undefined): void {
  if (problem === undefined) log.info({ event: 'remote' }, 'images in stores can be read again');
  else
    log.warn(
      { event: 'remote', problem },
      `what is not here of an image in a store cannot be read: ${problem}; what is here goes on working`,
    );
}
