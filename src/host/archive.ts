import { mkdtemp, open, readFile, rename, rm, statfs, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { missingTool } from '../config/missing-tool.js';
import { ThinError, systemErrorCode } from '../errors/thin-error.js';
import type { Exec, ExecOptions, ExecResult } from './exec.js';
import { inspectSource, type ImageSource } from './image-source.js';
import { leadsThroughLinks, requireSoundLayers } from './layer-names.js';
import { imageOfTar, LAYOUT_TAG, readLayeredImage, writeLayout, type LayeredImage } from './layered-image.js';
import { runOnOneCpu } from './one-cpu.js';

/**
 * Everything that makes a root filesystem, both ways; GNU tar stores attributes as they are, binary ones too.
 */
const KEEP_ALL = [
  '--numeric-owner',
  '--acls',
  '--xattrs',
  '--xattrs-include=*',
  // What xfs shows of ACLs once more in its own format.
  '--xattrs-exclude=trusted.SGI_*',
];
/** Access and change times would make two tars of one root differ. */
const NO_OTHER_TIMES = '--pax-option=delete=atime,delete=ctime';
/** tar: some files changed while they were read. */
const TAR_DIFFERS = 1;

export interface Progress {
  /** Bytes of `total` that are done; never shrinks. An estimate until the end, when they are equal. */
  readonly done: number;
  readonly total: number;
}

export interface ArchiveOptions {
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface Imported {
  readonly source: ImageSource;
  /** What tools said though they succeeded, such as an attribute that could not be set. */
  readonly warnings: readonly string[];
}

export interface ArchiveSettings {
  /** Milliseconds between two calls of `onProgress`. */
  readonly progressMs: number;
  /** Where an image archive is unpacked for a while; needs room for it. */
  readonly scratchFolder: string;
  /** Whether what is written must not depend on the processors that write it. */
  readonly onOneCpu: boolean;
}

/** Fills a mounted root with files and takes them out again, with the host's tar, cp and umoci. */
export class Archive {
  readonly #exec: Exec;
  readonly #settings: ArchiveSettings;

  constructor(exec: Exec, settings: Partial<ArchiveSettings> = {}) {
    this.#exec = exec;
    this.#settings = { progressMs: 200, scratchFolder: tmpdir(), onOneCpu: false, ...settings };
  }

  /**
   * Unpacks a folder, a tar or an image (its layers in order, with their whiteouts) into `root`, an existing
   * empty folder. Owners, modes, times, hard links, devices, sparse files and extended attributes are kept.
   * Nothing is written outside `root`, whatever the source holds. After a failure `root` holds a part.
   * Returns what it was and the tools' warnings. Errors: as `inspectSource` and `readLayeredImage`;
   * missing-tool, no-space, tool-failed, closed.
   */
  async import(source: string, root: string, options: ArchiveOptions = {}): Promise<Imported> {
    const found = await inspectSource(this.#exec, source);
    try {
      const { stderr } = await this.#importFrom(found, root, options);
      return { source: found, warnings: lines(stderr) };
    } catch (error) {
      throw explained(error, root);
    }
  }

  /**
   * Writes the content of `root` as a tar (POSIX format; times in nanoseconds, attributes, sparse files) to a
   * file, which appears whole or not at all, or to an open descriptor. Sockets are left out. Returns tar's
   * warnings, such as a file that changed meanwhile. A file of that name is replaced. Errors: not-found,
   * missing-tool, no-space, tool-failed, closed.
   */
  async export(
    root: string,
    output: { readonly file: string } | { readonly fd: number },
    options: ArchiveOptions = {},
  ): Promise<readonly string[]> {
    if ('fd' in output) return this.#pack(root, output.fd, options);
    const file = path.resolve(output.file);
    const part = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.part`);
    const handle = await openOutput(part);
    try {
      const warnings = await this.#pack(root, handle.fd, options);
      await handle.sync();
      await rename(part, file);
      return warnings;
    } catch (error) {
      await rm(part, { force: true });
      throw explained(error, path.dirname(file));
    } finally {
      await handle.close();
    }
  }

  async #importFrom(source: ImageSource, root: string, options: ArchiveOptions): Promise<{ stderr: string }> {
    switch (source.kind) {
      case 'folder':
        return this.#copy(source.path, root, options);
      case 'tar':
        return this.#unpackTar(source, root, options);
      case 'image-folder':
        return this.#unpackImage(source.path, root, options);
      case 'image-archive':
        return this.#inScratch(async (folder) => {
          await this.#unpack(source, folder, signalOf(options));
          return this.#unpackImage(folder, root, options);
        });
    }
  }

  async #pack(root: string, fd: number, options: ArchiveOptions): Promise<readonly string[]> {
    const total = options.onProgress === undefined ? 0 : await this.#usage(root, options);
    const args = ['--create', '--file=-', '--format=posix', '--sparse', '--one-file-system', ...KEEP_ALL];
    const work = this.#exec.run('tar', [...args, NO_OTHER_TIMES, `--directory=${root}`, '.'], {
      stdout: fd,
      okCodes: [0, TAR_DIFFERS],
      ...signalOf(options),
    });
    const { stderr } = await this.#watch(work, options, total, () => offsetOf(fd));
    return lines(stderr);
  }

  async #unpack(
    source: { readonly path: string; readonly decompress: readonly string[] },
    root: string,
    options: ArchiveOptions,
  ): Promise<{ stderr: string }> {
    const handle = await open(source.path);
    try {
      const total = (await handle.stat()).size;
      // tar takes a leading / off names and refuses members with .. in them.
      const args = [
        '--extract',
        '--file=-',
        ...source.decompress,
        '--same-permissions',
        '--same-owner',
        ...KEEP_ALL,
      ];
      const work = this.#write('tar', [...args, '--warning=no-timestamp', `--directory=${root}`], {
        stdin: handle.fd,
        ...signalOf(options),
      });
      return await this.#watch(work, options, total, () => offsetOf(handle.fd));
    } finally {
      await handle.close();
    }
  }

  /** By umoci if links have to be followed within the root. */
  async #unpackTar(
    source: { readonly path: string; readonly decompress: readonly string[] },
    root: string,
    options: ArchiveOptions,
  ): Promise<{ stderr: string }> {
    const [compression] = source.decompress;
    const gzipped = compression === '--gzip';
    if (compression !== undefined && !gzipped) return this.#unpack(source, root, options);
    if (!(await leadsThroughLinks(source.path, gzipped, await freeBytes(root))))
      return this.#unpack(source, root, options);
    return this.#inScratch(async (folder) =>
      this.#unpackLayers(await imageOfTar(source.path, gzipped, folder), root, options),
    );
  }

  /**
   * In the order of names: equal trees then make equal blocks. cp(1) takes files as they lie in the folder's
   * own filesystem, which two hosts have in two orders.
   */
  async #copy(folder: string, root: string, options: ArchiveOptions): Promise<{ stderr: string }> {
    const total = options.onProgress === undefined ? 0 : await this.#usage(folder, options);
    const before = await usedBytes(root);
    const read = ['--create', '--file=-', '--sort=name', '--format=posix', '--sparse', '--one-file-system'];
    // Else the pipe decides how much is written at once.
    const write = ['--extract', '--file=-', '--read-full-records', '--same-permissions', '--same-owner'];
    const work = this.#piped(
      [...read, NO_OTHER_TIMES, ...KEEP_ALL, `--directory=${folder}`, '.'],
      [...write, ...KEEP_ALL, '--warning=no-timestamp', `--directory=${root}`],
      options,
    );
    return this.#watch(work, options, total, async () => (await usedBytes(root)) - before);
  }

  #write(tool: 'tar' | 'umoci', args: readonly string[], options: ExecOptions): Promise<ExecResult> {
    return this.#settings.onOneCpu
      ? runOnOneCpu(this.#exec, tool, args, options)
      : this.#exec.run(tool, args, options);
  }

  /** What the first tar writes is what the second reads. Errors: those of the one that failed by itself. */
  async #piped(
    first: readonly string[],
    second: readonly string[],
    options: ArchiveOptions,
  ): Promise<ExecResult> {
    return this.#inScratch(async (scratch) => {
      const fifo = path.join(scratch, 'tar');
      await this.#exec.run('mkfifo', [fifo], signalOf(options));
      const [output, input] = await Promise.all([open(fifo, 'w'), open(fifo, 'r')]);
      const [reading, writing] = await Promise.allSettled([
        this.#exec
          .run('tar', first, { stdout: output.fd, okCodes: [0, TAR_DIFFERS], ...signalOf(options) })
          .finally(() => output.close()),
        this.#write('tar', second, { stdin: input.fd, ...signalOf(options) }).finally(() => input.close()),
      ]);
      if (reading.status === 'rejected' && !isCutOff(reading.reason)) throw reading.reason;
      if (writing.status === 'rejected') throw writing.reason;
      if (reading.status === 'rejected') throw reading.reason;
      const { code, stdout } = writing.value;
      return { code, stdout, stderr: reading.value.stderr + writing.value.stderr };
    });
  }

  /**
   * By umoci, and not by one tar after the other: a layer may hold a member behind a link that a lower layer
   * made, which tar follows wherever it leads on the host, and umoci within the root.
   */
  async #unpackImage(folder: string, root: string, options: ArchiveOptions): Promise<{ stderr: string }> {
    return this.#unpackLayers(await readLayeredImage(folder), root, options);
  }

  async #unpackLayers(
    image: LayeredImage,
    root: string,
    options: ArchiveOptions,
  ): Promise<{ stderr: string }> {
    await requireSoundLayers(image, await freeBytes(root));
    const sizes = image.layers.map((layer) => layer.size);
    const total = sum(sizes);
    let begun = 0;
    return this.#inScratch(async (layout) => {
      await writeLayout(layout, image);
      const args = ['--log=info', 'raw', 'unpack', '--image', `${layout}:${LAYOUT_TAG}`, root];
      const work = this.#write('umoci', args, {
        onStderrLine: (line) => {
          if (line.includes('unpack layer')) begun++;
        },
        ...signalOf(options),
      });
      await this.#watch(work, options, total, () =>
        Promise.resolve(sum(sizes.slice(0, Math.max(0, begun - 1)))),
      );
      // What umoci says on the way is its log, not warnings.
      return { stderr: '' };
    });
  }

  /** Tells how far `work` is while it runs. */
  async #watch(
    work: Promise<ExecResult>,
    options: ArchiveOptions,
    total: number,
    done: () => Promise<number>,
  ): Promise<ExecResult> {
    const { onProgress } = options;
    if (onProgress === undefined) return work;
    let last = 0;
    let looking = false;
    let ended = false;
    const look = async (): Promise<void> => {
      if (looking) return;
      looking = true;
      last = Math.max(last, Math.min(total, await done().catch(() => last)));
      looking = false;
      if (!ended) onProgress({ done: last, total });
    };
    const timer = setInterval(() => void look(), this.#settings.progressMs);
    let result: ExecResult;
    try {
      result = await work;
    } finally {
      ended = true;
      clearInterval(timer);
    }
    onProgress({ done: total, total });
    return result;
  }

  /** Bytes that a folder takes on disk. */
  async #usage(folder: string, options: ArchiveOptions): Promise<number> {
    const { stdout } = await this.#exec.run(
      'du',
      ['--summarize', '--one-file-system', '--block-size=1', '--', folder],
      {
        okCodes: [0, 1],
        ...signalOf(options),
      },
    );
    return Number.parseInt(stdout, 10) || 0;
  }

  async #inScratch<T>(work: (folder: string) => Promise<T>): Promise<T> {
    const folder = await mkdtemp(path.join(this.#settings.scratchFolder, 'thinfuse-image-'));
    try {
      return await work(folder);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }
}

/** The reader of its output has ended. */
function isCutOff(error: unknown): boolean {
  return error instanceof ThinError && error.details['signal'] === 'SIGPIPE';
}

function signalOf({ signal }: ArchiveOptions): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}

/** A child that was given the descriptor moves its offset, and /proc shows it here. A pipe has none. */
async function offsetOf(fd: number): Promise<number> {
  const text = await readFile(`/proc/self/fdinfo/${fd}`, 'utf8');
  return Number(/^pos:\s*(\d+)/.exec(text)?.[1] ?? 0);
}

async function usedBytes(root: string): Promise<number> {
  const { blocks, bfree, bsize } = await statfs(root);
  return (blocks - bfree) * bsize;
}

async function freeBytes(root: string): Promise<number> {
  const { bavail, bsize } = await statfs(root);
  return bavail * bsize;
}

async function openOutput(part: string): Promise<FileHandle> {
  try {
    return await open(part, 'wx', 0o600);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new ThinError('not-found', `${path.dirname(part)} is not there; make the folder first`, {
      cause: error,
      details: { path: part },
    });
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}

function lines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '');
}

/** What tools tell by words only: a full disk, and a decompressor that is not installed. */
function explained(error: unknown, where: string): unknown {
  if (!(error instanceof ThinError) || error.code !== 'tool-failed') return error;
  const said = String(error.details['stderr'] ?? '');
  const absent = /tar[^:\n]*: (\w+): Cannot exec: No such file/.exec(said)?.[1];
  if (absent !== undefined) return missingTool(absent, error);
  if (!/no space left on device|wrote only \d+ of/i.test(said)) return error;
  return new ThinError(
    'no-space',
    `no space is left at ${where}; take a larger device (--size, --base-size), or extend the pool if thinfuse df says that it is full`,
    { cause: error, details: { path: where } },
  );
}
