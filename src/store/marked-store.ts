import { randomUUID } from 'node:crypto';
import { ThinError } from '../errors/thin-error.js';
import { packCommitNumber, unpackCommitNumber, type CommitNumber } from '../format/commit-number.js';
import { commitKey, describeKey } from '../format/keys.js';
import { CommitMark, MARK_FILE, readMark, type ReadMark } from './commit-mark.js';
import type { BatchOptions, KeyValue, KvOperation, KvReader } from './key-value.js';
import { OuterStore } from './outer-store.js';

export interface MarkOptions {
  /** Take a store that is older than its mark, and go on from there. Default: it is refused. */
  readonly acceptOlder?: boolean;
  /** Hears of repairs that need no action. */
  readonly onNote?: (text: string) => void;
}

/** A store that lacks commits which were acknowledged. */
export interface OlderStore {
  /** The commit that it is as of; 0: from before it counted. */
  readonly stored: number;
  readonly acknowledged: number;
}

/**
 * A store that counts its synced batches, in itself and beside itself (`CommitMark`), so that one that has
 * lost acknowledged commits, or was exchanged for an older one, is found out: LevelDB takes a log that was
 * cut for one that ended there.
 */
export class MarkedStore extends OuterStore {
  readonly #store: string;
  /** Undefined: there is no room for it, or it cannot be written. */
  readonly #mark: CommitMark | undefined;
  /** The accepted loss; undefined: nothing is missing. */
  readonly older: OlderStore | undefined;
  #number: number;
  #acknowledged: number;
  #closing: Promise<void> | undefined;

  private constructor(
    inner: KeyValue,
    { store, number }: CommitNumber,
    { mark, older }: { mark: CommitMark | undefined; older: OlderStore | undefined },
  ) {
    super(inner);
    this.#store = store;
    this.#number = number;
    this.#acknowledged = number;
    this.#mark = mark;
    this.older = older;
  }

  /**
   * The store that is open in a folder; a mark that is missing, damaged or another store's is made anew, with
   * a note, because without the one that was there nothing says that anything is missing. Closes the store
   * where it throws.
   * @throws ThinError damaged (the store is older than its mark, or its own number cannot be read),
   *   wrong-version, io
   */
  static async over(inner: KeyValue, folder: string, options: MarkOptions = {}): Promise<MarkedStore> {
    try {
      return await open(inner, folder, options);
    } catch (error) {
      await inner.close();
      throw error;
    }

    async function open(
      inner: KeyValue,
      folder: string,
      { acceptOlder = false, onNote = () => undefined }: MarkOptions,
    ): Promise<MarkedStore> {
      const mark = await readMark(folder);
      const stored = acceptOlder ? orMark(() => readNumber(inner), mark) : readNumber(inner);
      const older = comparison(stored, mark);
      if (older !== undefined && !acceptOlder) throw olderError(folder, older);
      const note = noteAbout(stored, mark);
      if (note !== undefined) onNote(`${folder}/${MARK_FILE} ${note}`);
      const commit = {
        store: stored?.store ?? (typeof mark === 'object' ? mark.store : randomUUID()),
        number: Math.max(stored?.number ?? 0, older?.acknowledged ?? 0),
      };
      const file = await openMark(folder, { commit, isThere: isOf(mark, commit.store) }, onNote);
      return new MarkedStore(inner, commit, { mark: file, older });
    }
  }

  async batch(operations: readonly KvOperation[], options: BatchOptions): Promise<void> {
    if (!options.sync) return this.inner.batch(operations, options);
    const commit = { store: this.#store, number: ++this.#number };
    await this.inner.batch(
      [...operations, { type: 'put', key: commitKey, value: packCommitNumber(commit) }],
      options,
    );
    this.#acknowledged = commit.number;
    this.#mark?.write(commit);
    if (options.landmark === true) await this.#mark?.sync();
  }

  get needsRecovery(): boolean {
    return this.inner.needsRecovery === true;
  }

  async recover(): Promise<void> {
    await this.inner.recover?.();
    const stored = readNumber(this.inner)?.number ?? 0;
    if (stored < this.#acknowledged)
      throw olderError('the store', { stored, acknowledged: this.#acknowledged });
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    await this.#mark?.close();
    await this.inner.close();
  }
}

/**
 * The commits that a store lacks, by the mark in `folder`; undefined: nothing, or unknown. @throws
 * ThinError wrong-version, io
 */
export async function olderThanMark(store: KvReader, folder: string): Promise<OlderStore | undefined> {
  const mark = await readMark(folder);
  return comparison(
    orMark(() => readNumber(store), mark),
    mark,
  );
}

/** @throws ThinError damaged, wrong-version */
function readNumber(store: KvReader): CommitNumber | undefined {
  const bytes = store.getSync(commitKey);
  return bytes === undefined ? undefined : unpackCommitNumber(bytes, describeKey(commitKey));
}

/** A number that is damaged says nothing of the rest of its commit. */
function orMark(read: () => CommitNumber | undefined, mark: ReadMark): CommitNumber | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ThinError) || error.code !== 'damaged') throw error;
    return typeof mark === 'object' ? mark : undefined;
  }
}

function comparison(stored: CommitNumber | undefined, mark: ReadMark): OlderStore | undefined {
  if (typeof mark === 'string') return undefined;
  if (stored !== undefined && stored.store !== mark.store) return undefined;
  const number = stored?.number ?? 0;
  return number < mark.number ? { stored: number, acknowledged: mark.number } : undefined;
}

function noteAbout(stored: CommitNumber | undefined, mark: ReadMark): string | undefined {
  const next = 'and is made anew; whether the pool lacks its last commits cannot be told this time';
  if (mark === 'damaged') return `is damaged ${next}`;
  if (stored === undefined) return undefined;
  if (mark === 'missing') return `is missing ${next}`;
  return mark.store === stored.store ? undefined : `is another pool's ${next}`;
}

function isOf(mark: ReadMark, store: string): boolean {
  return typeof mark === 'object' && mark.store === store;
}

/** A disk without room for it is no reason to keep a pool closed in which room is to be made. */
async function openMark(
  folder: string,
  { commit, isThere }: { commit: CommitNumber; isThere: boolean },
  onNote: (text: string) => void,
): Promise<CommitMark | undefined> {
  const without = ({ message }: ThinError): void => {
    onNote(`the number of the last commit is kept nowhere but in the store for now: ${message}`);
  };
  try {
    if (!isThere) await CommitMark.make(folder, commit);
    return await CommitMark.open(folder, without);
  } catch (error) {
    if (!(error instanceof ThinError)) throw error;
    without(error);
    return undefined;
  }
}

/** How messages name what is not there. */
export function missingCommits({ stored, acknowledged }: OlderStore): string {
  const count = acknowledged - stored;
  const last = count === 1 ? 'the last commit that was' : `the last ${count} commits that were`;
  return `${last} acknowledged (it is as of commit ${stored}, and ${acknowledged} was the last)`;
}

function olderError(path: string, older: OlderStore): ThinError {
  const { stored, acknowledged } = older;
  return new ThinError(
    'damaged',
    `${path} lacks ${missingCommits(older)}: its log was cut or damaged, or an older copy was put in its place; put a copy back that is as new, or take the older state: \`thinfuse repair --output NEW-ROOT\` makes a new pool of it, \`thinfuse repair --accept-older\` keeps it in its place`,
    { details: { path, stored, acknowledged, missing: acknowledged - stored } },
  );
}
