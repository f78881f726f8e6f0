import type { Command } from 'commander';
import type { CheckInput, CheckReport } from '../api/operations.js';
import { DATA_PATH } from '../daemon/pool-data.js';
import { ThinError } from '../errors/thin-error.js';
import { withMetadata } from './connect.js';
import { contextOf, rootFlag, type Context } from './context.js';
import { example } from './example.js';
import type { KernelCheckOptions } from './kernel/check.js';
import { isKernel, requireKernel, withKernelOption, type KernelFlags } from './kernel/flags.js';
import { parseCount } from './snapshot-option.js';
import { findingLines } from './finding-lines.js';
import { print, printJson } from './output.js';
import { whileWorking } from './progress.js';

interface CheckOptions extends KernelFlags {
  readonly metadataSnap?: boolean;
  readonly overrideMappingRoot?: string;
  readonly overrideDetailsRoot?: string;
  readonly superBlockOnly?: boolean;
  readonly skipMappings?: boolean;
  readonly ignoreNonFatalErrors?: boolean;
  readonly clearNeedsCheckFlag?: boolean;
  readonly autoRepair?: boolean;
  readonly quiet?: boolean;
}

export function registerCheckCommand(program: Command): void {
  withKernelOption(
    program
      .command('check')
      .summary("verify the pool's metadata")
      .description(
        "Reads all metadata and verifies it, as thin_check does, and the checksums of all blocks in the store's files; works beside a running daemon. Ends with 0 if nothing is wrong, with 7 if LevelDB cannot be trusted with the files, with 1 otherwise. With --metadata, does what thin_check 0.9 does with the kernel's metadata, and ends with 0 or 1.",
      )
      .option('--super-block-only', 'check the superblock only')
      .option('--skip-mappings', 'check the records, but not the mapping trees')
      .option(
        '--ignore-non-fatal-errors',
        'end with 1 only for what loses data, not for leaks and wrong counts',
      )
      .option('--clear-needs-check-flag', 'if nothing is wrong, make the pool writable again')
      .option('--auto-repair', 'repair leaks and wrong counts; needs a stopped daemon')
      .option('-m, --metadata-snap', 'with --metadata, the metadata snapshot')
      .option('--override-mapping-root <block>', 'with --metadata, in place of the value in the superblock')
      .option('--override-details-root <block>', 'with --metadata, in place of the value in the superblock')
      .option('-q, --quiet', 'print nothing'),
  )
    .addHelpText(
      'after',
      example(
        'thinfuse check --json',
        'thinfuse check --auto-repair',
        'thinfuse check --metadata /dev/vg/pool_tmeta',
      ),
    )
    .action(async (options: CheckOptions, command: Command) => {
      const context = contextOf(command);
      requireKernel(options, {
        '--metadata-snap': options.metadataSnap,
        '--override-mapping-root': options.overrideMappingRoot,
        '--override-details-root': options.overrideDetailsRoot,
      });
      if (isKernel(options)) {
        const { checkKernelMetadata } = await import('./kernel/check.js');
        await checkKernelMetadata(context, options, kernelInputOf(options));
        return;
      }
      const input = inputOf(options);
      const report = await whileWorking(context, 'checking', () =>
        withMetadata(context, (metadata) => metadata.check(input), {
          verify: input.depth === 'all' ? 'all' : 'metadata',
        }),
      );
      if (options.quiet !== true) {
        if (context.json) printJson(report);
        else print(reportText(report));
      }
      const weighed = report.findings.filter(({ fatal }) => fatal || options.ignoreNonFatalErrors !== true);
      if (weighed.length > 0) throw failure(context, report, weighed.length);
    });
}

/** @throws ThinError invalid-argument */
function kernelInputOf(options: CheckOptions): KernelCheckOptions {
  const root = (text: string | undefined, what: string): number | undefined =>
    text === undefined ? undefined : parseCount(text, what);
  return {
    depth: depthOf(options),
    ignoreNonFatal: options.ignoreNonFatalErrors === true,
    heldRoot: options.metadataSnap === true,
    mappingRoot: root(options.overrideMappingRoot, '--override-mapping-root'),
    detailsRoot: root(options.overrideDetailsRoot, '--override-details-root'),
    quiet: options.quiet === true,
    mend: mendOf(options),
  };
}

/** thin_check refuses the same. @throws ThinError invalid-argument */
function mendOf(options: CheckOptions): KernelCheckOptions['mend'] {
  if (options.autoRepair !== true && options.clearNeedsCheckFlag !== true) return undefined;
  requireWhole(options);
  const [other] = Object.entries({
    '--ignore-non-fatal-errors': options.ignoreNonFatalErrors,
    '--metadata-snap': options.metadataSnap,
    '--override-mapping-root': options.overrideMappingRoot,
    '--override-details-root': options.overrideDetailsRoot,
  }).find(([, value]) => value !== undefined) ?? [undefined];
  if (other !== undefined)
    throw new ThinError('invalid-argument', `nothing can be repaired or cleared with ${other}; leave it out`);
  return options.autoRepair === true ? 'leaks' : 'flag';
}

function depthOf({ superBlockOnly, skipMappings }: CheckOptions): CheckInput['depth'] & string {
  return superBlockOnly === true ? 'superblock' : skipMappings === true ? 'records' : 'all';
}

function inputOf(options: CheckOptions): CheckInput {
  if (options.autoRepair === true || options.clearNeedsCheckFlag === true) requireWhole(options);
  return {
    depth: depthOf(options),
    clearNeedsCheck: options.clearNeedsCheckFlag === true,
    autoRepair: options.autoRepair === true,
  };
}

/** @throws ThinError invalid-argument */
function requireWhole({ superBlockOnly, skipMappings }: CheckOptions): void {
  if (superBlockOnly === true || skipMappings === true)
    throw new ThinError(
      'invalid-argument',
      'a check can only repair or clear what it has read; leave out --super-block-only and --skip-mappings',
    );
}

function reportText(report: CheckReport): string {
  const { devices, nodes, chunks } = report;
  return [
    ...findingLines(report.findings),
    ...(report.repaired > 0 ? [`${report.repaired} problems mended`] : []),
    ...(report.needsCheck ? ['the pool is marked: needs_check'] : []),
    `${devices} devices, ${nodes} nodes, ${chunks} chunks: ${report.ok ? 'no problem found' : 'damaged'}`,
    ...((report.logged ?? 0) > 0
      ? [
          `this is the last commit: the pool's log has ${report.logged} later changes, which the next start takes over`,
        ]
      : []),
    `TRANSACTION_ID=${report.transactionId}`,
    `METADATA_FREE_BLOCKS=${report.metadataFree}`,
  ].join('\n');
}

function failure(context: Context, { findings }: CheckReport, count: number): ThinError {
  const root = rootFlag(context);
  const onlyData = findings.every(({ path }) => path === DATA_PATH);
  const next = onlyData
    ? 'its metadata is well: put its data back'
    : findings.every(({ repairable }) => repairable)
      ? `stop the daemon, if one runs, and mend them with: thinfuse check --auto-repair${root}`
      : `keep a copy of it, then make a new pool of its sound parts with: thinfuse repair --output NEW-ROOT${root}`;
  return new ThinError('check-failed', `the pool of ${context.layout.root} has ${count} problems; ${next}`, {
    details: { problems: count },
  });
}
