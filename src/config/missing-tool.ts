import { readFileSync } from 'node:fs';
import { ThinError } from '../errors/thin-error.js';
import { HOST_TOOLS, isHostTool, packagesOf, type Distribution, type HostTool } from './host-tools.js';

const INSTALL: Readonly<Record<Distribution, string>> = {
  debian: 'apt-get install',
  fedora: 'dnf install',
  alpine: 'apk add',
};
/** `ID` and `ID_LIKE` of os-release(5). */
const FAMILIES: readonly (readonly [Distribution, RegExp])[] = [
  ['debian', /\b(debian|ubuntu)\b/],
  ['fedora', /\b(fedora|rhel)\b/],
  ['alpine', /\balpine\b/],
];

/** Whose packages this host takes; Debian's are named where it is none of the three. */
export function distributionOf(osRelease: string): Distribution {
  const ids = osRelease.split('\n').filter((line) => /^ID(_LIKE)?=/.test(line));
  return FAMILIES.find(([, pattern]) => ids.some((line) => pattern.test(line)))?.[0] ?? 'debian';
}

/**
 * The command that installs these tools on this host; undefined where its distribution has no package of
 * them.
 */
export function installCommand(
  tools: readonly HostTool[],
  distribution: Distribution = hostDistribution(),
): string | undefined {
  const packages = packagesOf(tools, distribution);
  return packages.length === 0 ? undefined : `${INSTALL[distribution]} ${packages.join(' ')}`;
}

/**
 * For a tool that could not be started because it is not there; `tool` as it was called, perhaps a name that
 * is none of ours.
 */
export function missingTool(tool: string, cause?: unknown): ThinError {
  const install = isHostTool(tool) ? installCommand([tool]) : undefined;
  const remedy = install === undefined ? 'install it and see that it is in PATH' : `install it: ${install}`;
  return new ThinError('missing-tool', `${tool} was not found; ${remedy}`, {
    cause,
    details: { tool, ...(isHostTool(tool) ? { package: HOST_TOOLS[tool][hostDistribution()] } : {}) },
  });
}

function hostDistribution(): Distribution {
  try {
    return distributionOf(readFileSync('/etc/os-release', 'utf8'));
  } catch {
    return 'debian';
  }
}
