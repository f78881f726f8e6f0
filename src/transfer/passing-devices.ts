import { ThinError } from '../errors/thin-error.js';
import { passingNameOf } from '../format/passing-name.js';
import { makerOf } from '../host/maker.js';

let made = 0;

/** For a device that the command makes for itself. */
export function passingName(): string {
  return passingNameOf(process.pid, ++made);
}

/** This process, as it marks what it makes until that is whole. */
export async function ownMaker(): Promise<string> {
  const maker = await makerOf(process.pid);
  if (maker === undefined) throw new ThinError('internal', '/proc does not show this process');
  return maker;
}
