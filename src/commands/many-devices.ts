import type { Command } from 'commander';
import type { Caller, DeviceStatus, Incompleteness } from '../api/operations.js';
import { ThinError, toThinError } from '../errors/thin-error.js';
import { withDaemon } from './connect.js';
import { contextOf } from './context.js';
import { requireComplete } from './incomplete.js';
import { note, printJson } from './output.js';

/** Each is a tool's work, or waits for the same commit; the daemon serves others between two of them. */
const AT_ONCE = 8;

export interface Choice {
  readonly names: readonly string[];
  /** `--all`. */
  readonly all?: boolean | undefined;
}

/**
 * The names that a command was given, each once, or those that `fits` chooses with `--all`: devices of the
 * user's own, for other programs' are theirs. @throws ThinError invalid-argument (neither, or both)
 */
async function chosen(
  caller: Caller,
  { names, all = false }: Choice,
  fits: (device: DeviceStatus) => boolean,
): Promise<readonly string[]> {
  if (all === names.length > 0)
    throw new ThinError('invalid-argument', 'give the names of devices, or --all');
  if (!all) return [...new Set(names)];
  return (await caller.call('device.list', {}))
    .filter(({ kind, deleted, maker, label }) => kind !== 'base' && !deleted && maker === '' && label === '')
    .filter(fits)
    .map(({ name }) => name);
}

/** What a command does with each device that it was given. */
export interface EachDevice<T> {
  /** Of the devices that `--all` means. */
  readonly fits: (device: DeviceStatus) => boolean;
  readonly work: (caller: Caller, name: string) => Promise<T>;
  /** Without `--json`. */
  readonly tell: (outcome: T) => void;
}

/** @throws ThinError the first failure, or incomplete, after all others were told */
export async function forChosen<T extends Incompleteness & { readonly name: string }>(
  command: Command,
  choice: Choice,
  { fits, work, tell }: EachDevice<T>,
): Promise<void> {
  const context = contextOf(command);
  const { done, failures } = await withDaemon(context, async (caller) =>
    forEach(await chosen(caller, choice, fits), (name) => work(caller, name)),
  );
  if (context.json) printEachJson(choice, done);
  else done.forEach(tell);
  throwFirst(failures);
  for (const each of done) requireComplete(each.name, each);
}

export interface Outcomes<T> {
  readonly done: readonly T[];
  readonly failures: readonly ThinError[];
}

/** Goes on after one that fails. Both in the order of the names. */
export async function forEach<T>(
  names: readonly string[],
  work: (name: string) => Promise<T>,
  { atOnce = AT_ONCE } = {},
): Promise<Outcomes<T>> {
  const done: T[] = [];
  const failures: ThinError[] = [];
  for (let at = 0; at < names.length; at += atOnce)
    for (const each of await Promise.allSettled(names.slice(at, at + atOnce).map(work)))
      if (each.status === 'fulfilled') done.push(each.value);
      else failures.push(toThinError(each.reason));
  return { done, failures };
}

/** One document for one name, as ever; a list for several or --all. */
function printEachJson({ names, all = false }: Choice, done: readonly unknown[]): void {
  if (all || names.length > 1) printJson(done);
  else if (done.length > 0) printJson(done[0]);
}

/** @throws ThinError the first, after the others were told */
export function throwFirst([first, ...others]: readonly ThinError[]): void {
  if (first === undefined) return;
  for (const other of others) note(other.message);
  throw first;
}
