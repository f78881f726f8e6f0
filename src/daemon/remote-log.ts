import type { Logger } from 'pino';

/** @param problem undefined: bytes of images in stores can be fetched again */
export function logRemote(log: Logger, problem: string | undefined): void {
  if (problem === undefined)
    log.info({ event: 'remote' }, 'the missing parts of images can be fetched again');
  else
    log.warn(
      { event: 'remote', problem },
      `the missing parts of images cannot be fetched: ${problem}; the parts that the pool has can be read`,
    );
}
