import type { Command } from 'commander';
import type { Progress } from '../host/archive.js';
import { ThinError } from '../errors/thin-error.js';
import type { Finding } from '../metadata/check.js';
import type { ScrubStep } from '../pool/scrub.js';
import type { RemoteScrub } from '../remote/scrub-images.js';
import { withDaemon, withMetadata } from './connect.js';
import { contextOf, rootFlag, type Context } from './context.js';
import { example } from './example.js';
import { findingLines } from './finding-lines.js';
import { interruptible } from './interrupt.js';
import { print, printJson } from './output.js';
import { withProgress } from './progress.js';

interface ScrubReport {
  readonly ok: boolean;
  readonly findings: readonly Finding[];
  readonly devices: number;
  readonly nodes: number;
  readonly chunks: number;
  /** With --remote. */
  readonly remote?: RemoteScrub;
}

export function registerScrubCommand(program: Command): void {
  program
    .command('scrub')
    .summary('read and verify everything')
    .description(
      'Reads and verifies all files of the store, all metadata and every chunk in use. Works beside a running daemon. Ends with 0 if nothing is wrong. Ends with 1 otherwise, and the pool then refuses writes until check --clear-needs-check-flag.',
    )
    .option('--remote', 'also read and verify the chunks that are only in stores; keeps none of them')
    .addHelpText('after', example('thinfuse scrub', 'thinfuse scrub --json', 'thinfuse scrub --remote'))
    .action(async ({ remote = false }: { readonly remote?: boolean }, command: Command) => {
      const context = contextOf(command);
      const local = await withMetadata(
        context,
        (metadata) =>
          withProgress(context, 'scrub', (onProgress) => gather(metadata.text('pool.scrub', {}), onProgress)),
        { verify: 'all' },
      );
      const there = remote ? await scrubRemote(context) : undefined;
      const report: ScrubReport =
        there === undefined
          ? local
          : { ...local, ok: local.ok && there.findings.length === 0, remote: there };
      if (context.json) printJson(report);
      else print(reportText(report));
      if (!report.ok) throw failure(context, report);
    });
}

async function scrubRemote(context: Context): Promise<RemoteScrub> {
  const { scrubImages } = await import('../remote/scrub-images.js');
  const images = await withDaemon(context, (caller) => caller.call('remote.images', {}));
  return interruptible((signal) => scrubImages(images, process.env, signal));
}

async function gather(
  pieces: AsyncIterable<string>,
  onProgress: ((progress: Progress) => void) | undefined,
): Promise<ScrubReport> {
  const findings: Finding[] = [];
  for await (const piece of pieces) {
    const step = JSON.parse(piece) as ScrubStep;
    if (step.kind === 'progress') onProgress?.(step);
    else if (step.kind === 'finding') findings.push(step.finding);
    else {
      const { devices, nodes, chunks } = step;
      return { ok: findings.length === 0, findings, devices, nodes, chunks };
    }
  }
  throw new ThinError('internal', 'the scrub ended before it had read everything');
}

function reportText({ findings, devices, nodes, chunks, remote }: ScrubReport): string {
  const verdict = (problems: number): string => (problems === 0 ? 'no problem found' : 'damaged');
  return [
    ...findingLines(findings),
    `${devices} devices, ${nodes} nodes, ${chunks} chunks read: ${verdict(findings.length)}`,
    ...(remote === undefined
      ? []
      : [
          ...remote.findings.map(({ path, problem }) => `${path}: ${problem}`),
          `${remote.images} images in stores, ${remote.blocks} blocks read: ${verdict(remote.findings.length)}`,
        ]),
  ].join('\n');
}

function failure(context: Context, { findings, remote }: ScrubReport): ThinError {
  if (findings.length === 0)
    return new ThinError(
      'check-failed',
      'a store has changed or lost parts of an image; the chunks in the pool are sound, so push the devices again',
      { details: { problems: remote?.findings.length ?? 0 } },
    );
  return new ThinError(
    'check-failed',
    `the pool of ${context.layout.root} has ${findings.length} problems; thinfuse rmap --region N..N+1 says which devices map a chunk, and this makes a new pool of the sound parts: thinfuse repair --output NEW-ROOT${rootFlag(context)}`,
    { details: { problems: findings.length } },
  );
}
