import type { Finding } from '../metadata/check.js';

/**
 * Findings for people, one a line; what is said of many neighbours, such as the chunks of a device that is
 * lost, is said once.
 */
export function findingLines(findings: readonly Pick<Finding, 'path' | 'problem'>[]): readonly string[] {
  const lines: string[] = [];
  for (let at = 0; at < findings.length;) {
    const { path, problem } = findings[at]!;
    const [, what, first] = /^(.*?)(\d+)$/.exec(path) ?? [];
    let end = at + 1;
    while (
      what !== undefined &&
      findings[end]?.path === `${what}${Number(first) + end - at}` &&
      findings[end]?.problem === problem
    )
      end++;
    const where = end - at > 1 ? `${path} to ${Number(first) + end - at - 1}` : path;
    lines.push(problem.startsWith(`${path} `) ? problem : `${where}: ${problem}`);
    at = end;
  }
  return lines;
}
