import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { seededNumbers } from '../../test/support/sector-workload.js';
import { verifyPages, type Allowed } from './contents.js';
import { IMAGE, isPassing, Operator, type OperationCount } from './operator.js';
import type { TortureOptions } from './options.js';
import { readPlace, type PlaceKind } from './places.js';
import { PowerMachine } from './power-machine.js';
import { Snapshots } from './snapshots.js';
import { inTime, Subject } from './subject.js';
import { WriterProcess } from './writer-process.js';

/** Milliseconds of work before a kill. */
const MOST_WORK = 1500;
/** Milliseconds within which a daemon that starts is killed. */
const MOST_START = 900;
/** Of a hundred rounds, so many kill a daemon that is starting, too. */
const START_KILLS = 20;
const DEVICES: readonly (readonly [string, PlaceKind])[] = [
  ['files1', 'files'],
  ['files2', 'files'],
  ['raw1', 'raw'],
];

export interface CampaignOptions extends TortureOptions {
  /** Empty, and left to the caller to remove. */
  readonly folder: string;
  readonly cli: readonly string[];
  readonly tell: (text: string) => void;
}

export interface Summary {
  readonly rounds: number;
  /** Daemons killed at work, and while they started. */
  readonly kills: number;
  readonly startKills: number;
  /** Bytes that had been synced, or belonged to a snapshot, and were found. */
  readonly verified: number;
  readonly snapshotsVerified: number;
  readonly syncs: number;
  readonly operations: OperationCount;
  /** Sectors that no flush had covered at a cut of the power, and those that it left. */
  readonly unsynced: number;
  readonly kept: number;
}

/** Rounds of: work, SIGKILL or a cut of the power, start, verify. @throws Error that says what did not hold, in which round */
export async function runCampaign(options: CampaignOptions): Promise<Summary> {
  const campaign = new Campaign(options);
  try {
    return await campaign.run();
  } finally {
    await campaign.end();
  }
}

class Campaign {
  readonly #options: CampaignOptions;
  readonly #subject: Subject;
  readonly #random: (below: number) => number;
  readonly #snapshots = new Snapshots();
  readonly #writers: readonly WriterProcess[];
  readonly #operator: Operator;
  readonly #machine: PowerMachine | undefined;
  /** By writer: what a page may hold after the last cut of the power. */
  readonly #cut = new Map<WriterProcess, Allowed>();
  #kills = 0;
  #startKills = 0;
  #verified = 0;
  #snapshotsVerified = 0;

  constructor(options: CampaignOptions) {
    this.#options = options;
    this.#random = seededNumbers(options.seed);
    if (options.power !== undefined) this.#machine = new PowerMachine(options.folder, options.power);
    this.#subject = new Subject({ ...options, folder: this.#machine?.live ?? options.folder });
    this.#writers = DEVICES.map(
      ([device, kind], number) =>
        new WriterProcess({
          number,
          device,
          kind,
          journal: path.join(options.folder, `journal-${device}`),
          seed: options.seed + number,
        }),
    );
    this.#operator = new Operator({
      subject: this.#subject,
      writers: this.#writers,
      snapshots: this.#snapshots,
      random: this.#random,
    });
  }

  async run(): Promise<Summary> {
    const { rounds, tell } = this.#options;
    await this.#machine?.begin();
    await this.#subject.init();
    await this.#subject.start();
    const { client } = this.#subject;
    await client.call('device.create', { name: IMAGE, kind: 'image' });
    for (const { device } of this.#writers)
      await client.call('device.create', { name: device, origin: IMAGE, kind: 'container' });
    for (let round = 1; round <= rounds; round++) {
      try {
        await this.#round(round);
      } catch (error) {
        throw new Error(`round ${round}: ${describe(error)}\n${await this.#subject.logTail()}`, {
          cause: error,
        });
      }
      if (round % 10 === 0) tell(`${round} rounds, ${this.#verified} bytes verified`);
    }
    await this.#subject.stop();
    expectNone('after the last stop', await this.#subject.leftovers());
    expectNone('check, at the end', await this.#subject.offlineFindings());
    return {
      rounds,
      kills: this.#kills,
      startKills: this.#startKills,
      verified: this.#verified,
      snapshotsVerified: this.#snapshotsVerified,
      syncs: this.#writers.reduce((sum, { syncs }) => sum + syncs, 0),
      operations: this.#operator.done,
      unsynced: this.#machine?.unsynced ?? 0,
      kept: this.#machine?.kept ?? 0,
    };
  }

  async end(): Promise<void> {
    for (const writer of this.#writers) writer.end();
    await this.#subject.abandon();
    await this.#machine?.end();
  }

  async #round(round: number): Promise<void> {
    await this.#subject.note(`round ${round}`);
    await this.#workUntilKilled();
    await this.#machine?.restart();
    if (this.#random(100) < START_KILLS) {
      await this.#subject.startAndKill(1 + this.#random(MOST_START));
      this.#startKills++;
    }
    if (this.#random(4) === 0) expectNone('check, before the start', await this.#subject.offlineFindings());
    await this.#subject.start();
    // A machine that starts has no loop devices, but this one may have: those that came after the cut.
    if (this.#machine === undefined) expectNone('left after the start', await this.#subject.leftovers());
    expectNone('check', await inTime('check', this.#subject.findings()));
    await inTime('verifying', this.#verify());
  }

  async #workUntilKilled(): Promise<void> {
    const targets = new Map<WriterProcess, string>();
    for (const writer of this.#writers)
      targets.set(writer, await this.#open(writer.device, writer.kind, false));
    for (const [writer, where] of targets) await writer.write(where);
    const work = this.#operator.work(targets);
    const failing = Promise.all(
      this.#writers.map(async (writer) => {
        const { error } = await writer.stopped();
        throw new Error(`the writer of ${writer.device} met ${error} before the daemon was killed`);
      }),
    );
    failing.catch(() => undefined);
    await Promise.race([sleep(10 + this.#random(MOST_WORK)), work, failing]);
    const snapshots = await this.#cutPower();
    this.#operator.stop();
    const killed = this.#subject.kill();
    this.#kills++;
    await killed;
    // Nothing may wait for a server that is gone.
    await inTime('an operation on a daemon that was killed', work);
    for (const writer of this.#writers) {
      const { error } = await inTime(`the writer of ${writer.device}`, writer.stopped());
      if (error === undefined) throw new Error(`the writer of ${writer.device} noticed nothing`);
    }
    if (snapshots !== undefined) this.#snapshots.revert(snapshots.before, snapshots.after);
  }

  /** What is done from then on did not happen. @returns the snapshots just before and after */
  async #cutPower(): Promise<{ before: Snapshots; after: Snapshots } | undefined> {
    if (this.#machine === undefined) return undefined;
    const before = this.#snapshots.copy();
    const synced = this.#writers.map((writer) => writer.progress.synced);
    await this.#machine.cut(this.#random(2 ** 31));
    const after = this.#snapshots.copy();
    for (const [index, writer] of this.#writers.entries())
      this.#cut.set(writer, { least: synced[index]!, most: writer.progress.begun });
    return { before, after };
  }

  async #verify(): Promise<void> {
    const present = await this.#subject.devices();
    this.#snapshots.reconcile(new Set(present.keys()));
    for (const name of present.keys())
      if (isPassing(name)) await this.#subject.client.call('device.remove', { name });
    for (const writer of this.#writers) {
      const { begun, synced } = writer.progress;
      const allowed = this.#cut.get(writer) ?? { least: synced, most: begun };
      const where = await this.#open(writer.device, writer.kind, false);
      const bytes = await readPlace(writer.kind, where);
      const found = this.#held(writer.device, () => verifyPages(bytes, writer.number, allowed, this.#unit));
      await writer.found(found.sequences);
      this.#verified += found.bytes;
    }
    for (const record of this.#snapshots.all) {
      const where = await this.#open(record.name, record.kind, true);
      const bytes = await readPlace(record.kind, where);
      const found = this.#held(record.name, () =>
        verifyPages(bytes, record.writer, record.allowed, this.#unit),
      );
      record.allowed = { least: found.sequences, most: found.newest };
      this.#verified += found.bytes;
      this.#snapshotsVerified++;
      await this.#close(record.name, record.kind);
    }
  }

  /** A direct pool overwrites in place: what was not flushed is old or new by sectors, as on any disk. */
  get #unit(): 'page' | 'sector' {
    return this.#machine !== undefined && this.#options.pool === 'direct' ? 'sector' : 'page';
  }

  #held<T>(device: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw new Error(`device ${device}: ${describe(error)}`, { cause: error });
    }
  }

  async #open(name: string, kind: PlaceKind, readOnly: boolean): Promise<string> {
    if (kind === 'raw') return this.#subject.activate(name);
    return (await this.#subject.client.call('mount', { name, readOnly })).path;
  }

  async #close(name: string, kind: PlaceKind): Promise<void> {
    await this.#subject.client.call(kind === 'raw' ? 'deactivate' : 'umount', { name });
  }
}

function expectNone(when: string, found: readonly string[]): void {
  if (found.length > 0) throw new Error(`${when}: ${found.join('; ')}`);
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
