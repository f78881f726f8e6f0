import { fork, type ChildProcess } from 'node:child_process';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { loopsUnder, mounts, run, tryRun } from '../../test/support/mounts.js';
import type { DiskOrder, DiskReport } from './power-disk.js';

const DISK = path.join(import.meta.dirname, 'power-disk.ts');
const LOADER = path.resolve(import.meta.dirname, '../../node_modules/tsx/dist/loader.mjs');
const DISK_BYTES = 2 ** 30;
/** Times, and milliseconds between them, that a filesystem is asked to go before it is made to. */
const TRIES = 20;
const PAUSE = 100;

export type DiskFilesystem = 'ext4' | 'xfs';

interface Attached {
  readonly child: ChildProcess;
  readonly folder: string;
  readonly loop: string;
}

/** A machine with one disk, on which a filesystem is mounted; it can lose its power, and start again. */
export class PowerMachine {
  /** Where the disk's filesystem is mounted, whenever the machine runs. */
  readonly live: string;
  readonly #folder: string;
  readonly #filesystem: DiskFilesystem;
  #disk: Attached | undefined;
  #starts = 0;
  /** Of the pool, at the last cut: later they cannot be told by their files. */
  #loops: readonly string[] = [];
  unsynced = 0;
  kept = 0;

  constructor(folder: string, filesystem: DiskFilesystem) {
    this.#folder = folder;
    this.#filesystem = filesystem;
    this.live = path.join(folder, 'live');
  }

  async begin(): Promise<void> {
    await mkdir(this.live);
    this.#disk = await this.#attach(String(DISK_BYTES));
    const quietly = this.#filesystem === 'ext4' ? ['-q', '-E', 'lazy_itable_init=0,nodiscard'] : ['-q', '-K'];
    await run(`mkfs.${this.#filesystem}`, [...quietly, this.#disk.loop]);
    await run('mount', [this.#disk.loop, this.live]);
  }

  /** The power goes at this moment; what is still done is lost with what `restart` takes away. */
  async cut(seed: number): Promise<void> {
    const { child } = this.#disk!;
    this.#loops = await loopsUnder(this.live);
    const done = next(child, 'cut');
    const order: DiskOrder = { to: this.#image, seed };
    child.send(order);
    const { unsynced, kept } = await done;
    this.unsynced += unsynced;
    this.kept += kept;
  }

  /** With what the cut left. Everything that used the disk has ended. */
  async restart(): Promise<void> {
    const old = this.#disk!;
    // The new one first: another device, so that nothing takes it for the disk of before.
    this.#disk = await this.#attach(this.#image);
    await this.#release(old);
    // What was lazily unmounted may be there still, with the same UUID.
    const options = this.#filesystem === 'xfs' ? ['-o', 'nouuid'] : [];
    await run('mount', [...options, this.#disk.loop, this.live]);
  }

  async end(): Promise<void> {
    if (this.#disk !== undefined) await this.#release(this.#disk);
    this.#disk = undefined;
  }

  get #image(): string {
    return path.join(this.#folder, 'cut.img');
  }

  async #attach(what: string): Promise<Attached> {
    const folder = path.join(this.#folder, `disk-${this.#starts++}`);
    await mkdir(folder);
    const child = fork(DISK, [folder, what], { execArgv: ['--import', LOADER] });
    await next(child, 'serving');
    const file = path.join(folder, 'disk');
    const loop = (await run('losetup', ['--find', '--show', '--direct-io=on', file])).trim();
    return { child, folder, loop };
  }

  async #release({ child, folder, loop }: Attached): Promise<void> {
    const below = (await mounts()).map(({ target }) => target).filter((target) => this.#isLive(target));
    // A machine that starts knows no loop device.
    const loops = new Set([...this.#loops, ...(await loopsUnder(this.live))]);
    for (const target of below.reverse()) await umount(target);
    for (const each of loops) await tryRun('losetup', ['--detach', each]);
    await tryRun('losetup', ['--detach', loop]);
    child.kill('SIGKILL');
    await tryRun('umount', ['-l', folder]);
    await rm(folder, { recursive: true, force: true });
  }

  #isLive(target: string): boolean {
    return target === this.live || target.startsWith(`${this.live}/`);
  }
}

async function umount(target: string): Promise<void> {
  for (let left = TRIES; left > 0; left--) {
    if ((await tryRun('umount', [target])).code === 0) return;
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  await run('umount', ['-l', target]);
}

function next<K extends DiskReport['kind']>(
  child: ChildProcess,
  kind: K,
): Promise<Extract<DiskReport, { kind: K }>> {
  return new Promise((resolve, reject) => {
    const ended = (): void => reject(new Error('the disk has ended'));
    child.once('exit', ended).once('message', (message: DiskReport) => {
      child.off('exit', ended);
      if (message.kind === kind) resolve(message as Extract<DiskReport, { kind: K }>);
      else reject(new Error(`the disk says ${message.kind}`));
    });
  });
}
