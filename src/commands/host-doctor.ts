import { ThinError } from '../errors/thin-error.js';
import { lookAtHost } from '../daemon/doctor/host.js';
import type { HostFinding } from '../host/host-finding.js';
import { printResult } from './output.js';
import type { Context } from './context.js';

interface HostReport {
  readonly works: boolean;
  readonly findings: readonly HostFinding[];
}

const TITLES: Readonly<Record<HostFinding['area'], string>> = {
  node: 'Node.js and its modules',
  tool: 'Tools',
  device: 'Devices',
  kernel: 'Kernel',
  space: 'Space',
  containerd: 'containerd',
};

/**
 * Says what of the things that thinfuse needs this host has. @throws ThinError unsupported: something
 * required is missing.
 */
export async function examineHost(context: Context): Promise<void> {
  const findings = await lookAtHost(context.layout.root);
  const missing = findings.filter(({ need, state }) => need === 'required' && state === 'missing');
  const report: HostReport = { works: missing.length === 0, findings };
  const unknown = findings.some(({ need, state }) => need === 'required' && state === 'unknown');
  const verdict = report.works ? [`thinfuse will work here${unknown ? ', as far as can be told' : ''}`] : [];
  printResult(context, report, hostReportText(findings, verdict));
  if (report.works) return;
  throw new ThinError(
    'unsupported',
    `thinfuse will not work here: ${missing.map(({ subject, message }) => `${subject}: ${message}`).join('; ')}`,
    { details: { missing: missing.map(({ subject }) => subject).join(' ') } },
  );
}

export function hostReportText(findings: readonly HostFinding[], verdict: readonly string[]): string {
  const areas = [...new Set(findings.map(({ area }) => area))];
  const width = Math.max(...findings.map(({ subject }) => subject.length));
  const lines = areas.flatMap((area) => [
    `${TITLES[area]}:`,
    ...findings.filter((finding) => finding.area === area).map((finding) => findingLine(finding, width)),
  ]);
  return [...lines, ...verdict].join('\n');
}

function findingLine({ subject, need, state, message, version }: HostFinding, width: number): string {
  const mark = state === 'ok' ? 'ok' : state === 'missing' && need === 'required' ? 'MISSING' : state;
  const shown = version === undefined || message === version ? message : `${version} (${message})`;
  return `  ${mark.padEnd(8)}${subject.padEnd(width + 2)}${shown}`;
}
