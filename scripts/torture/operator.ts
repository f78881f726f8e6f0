import type { Subject } from './subject.js';
import type { Snapshots, SnapshotRecord } from './snapshots.js';
import type { WriterProcess } from './writer-process.js';
import { tryRun } from '../../test/support/mounts.js';

const MOST_SNAPSHOTS = 5;
const CONTAINER = 'passing';
/** What all devices of a campaign start from. */
export const IMAGE = 'image';

export type OperationCount = Record<'snapshot' | 'remove' | 'view' | 'container' | 'trim', number>;

/** Works on the pool's devices beside the writers until the daemon is killed below it. */
export class Operator {
  readonly done: OperationCount = { snapshot: 0, remove: 0, view: 0, container: 0, trim: 0 };
  readonly #subject: Subject;
  readonly #writers: readonly WriterProcess[];
  readonly #snapshots: Snapshots;
  readonly #random: (below: number) => number;
  #made = 0;
  #stopping = false;

  constructor(parts: {
    subject: Subject;
    writers: readonly WriterProcess[];
    snapshots: Snapshots;
    random: (below: number) => number;
  }) {
    this.#subject = parts.subject;
    this.#writers = parts.writers;
    this.#snapshots = parts.snapshots;
    this.#random = parts.random;
  }

  /** From now on failures are to be expected: the daemon is about to be killed. */
  stop(): void {
    this.#stopping = true;
  }

  /** Resolves after `stop`. Rejects where an operation fails before that. */
  async work(targets: ReadonlyMap<WriterProcess, string>): Promise<void> {
    this.#stopping = false;
    try {
      while (!this.#isStopping()) await this.#step(targets);
    } catch (error) {
      if (!this.#isStopping()) throw error;
    }
  }

  async #step(targets: ReadonlyMap<WriterProcess, string>): Promise<void> {
    const dice = this.#random(100);
    if (dice < 45) {
      if (this.#snapshots.all.length < MOST_SNAPSHOTS) await this.#snapshot();
      else await this.#remove();
    } else if (dice < 60) await this.#remove();
    else if (dice < 80) await this.#view();
    else if (dice < 92) await this.#container();
    else await this.#trim(targets);
  }

  async #snapshot(): Promise<void> {
    const name = `s${++this.#made}`;
    const old = this.#snapshots.all;
    const choice = this.#random(this.#writers.length + old.length);
    const writer = this.#writers[choice];
    const record =
      writer === undefined ? copyOf(old[choice - this.#writers.length]!, name) : young(writer, name);
    this.#snapshots.set(record);
    const origin = writer?.device ?? old[choice - this.#writers.length]!.name;
    try {
      await this.#subject.client.call('device.create', { name, origin, kind: 'snapshot' });
      record.state = 'there';
      this.done.snapshot++;
    } finally {
      // Made or not: whatever it holds was begun by now.
      if (writer !== undefined) record.allowed = { ...record.allowed, most: writer.progress.begun };
    }
  }

  async #remove(): Promise<void> {
    const record = this.#any();
    if (record === undefined) return;
    record.state = 'maybe';
    await this.#subject.client.call('device.remove', { name: record.name, force: true });
    this.#snapshots.removed(record.name);
    this.done.remove++;
  }

  async #view(): Promise<void> {
    const record = this.#any();
    if (record === undefined) return;
    const { client } = this.#subject;
    const { name } = record;
    if (record.kind === 'raw') {
      await client.call('activate', { name });
      await client.call('deactivate', { name });
    } else {
      await client.call('mount', { name, readOnly: true });
      await client.call('umount', { name });
    }
    this.done.view++;
  }

  async #container(): Promise<void> {
    const { client } = this.#subject;
    await client.call('device.create', { name: CONTAINER, origin: IMAGE, kind: 'container' });
    await client.call('mount', { name: CONTAINER });
    await client.call('umount', { name: CONTAINER });
    await client.call('device.remove', { name: CONTAINER });
    this.done.container++;
  }

  /** A transport without discard says so, and that is all right. */
  async #trim(targets: ReadonlyMap<WriterProcess, string>): Promise<void> {
    for (const [writer, where] of targets)
      if (writer.kind === 'files') await tryRun('fstrim', [where], { limitMs: 60_000 });
    this.done.trim++;
  }

  #any(): SnapshotRecord | undefined {
    const all = this.#snapshots.all;
    return all[this.#random(Math.max(1, all.length))];
  }

  #isStopping(): boolean {
    return this.#stopping;
  }
}

/** A device that a crash may have left behind from an operation, and that nobody counts on. */
export function isPassing(name: string): boolean {
  return name === CONTAINER;
}

function young(writer: WriterProcess, name: string): SnapshotRecord {
  const least = writer.progress.acknowledged;
  const most = new Uint32Array(least.length).fill(0xffff_ffff);
  return { name, writer: writer.number, kind: writer.kind, allowed: { least, most }, state: 'maybe' };
}

function copyOf(origin: SnapshotRecord, name: string): SnapshotRecord {
  return { ...origin, name, state: 'maybe' };
}
