import { readEngineConfig } from '../containerd/engine-config.js';
import { engineFindings } from '../containerd/engine-findings.js';
import { ThinError } from '../errors/thin-error.js';
import { answers } from '../host/private-socket.js';
import type { Context } from './context.js';
import { hostReportText } from './host-doctor.js';
import { printResult } from './output.js';

/** Where Debian, Docker and containerd itself have it. */
export const ENGINE_CONFIG = '/etc/containerd/config.toml';

/**
 * Says what of a containerd's configuration the pool's snapshotters need is there. @throws ThinError
 * unsupported: containerd cannot reach them as it is; and as `readEngineConfig`
 */
export async function examineContainerd(context: Context, file: string): Promise<void> {
  const { root, space } = context.layout;
  const config = await readEngineConfig(file);
  const findings = await engineFindings(config, { root, space, answers });
  const missing = findings.filter(({ need, state }) => need === 'required' && state === 'missing');
  const works = missing.length === 0;
  const verdict = works ? ['this containerd can keep snapshots in the pool'] : [];
  printResult(
    context,
    { works, files: config.files, findings },
    [`${config.files.join(', ')}:`, hostReportText(findings, verdict)].join('\n'),
  );
  if (works) return;
  throw new ThinError(
    'unsupported',
    `this containerd cannot keep snapshots in the pool: ${missing.map(({ subject, message }) => `${subject}: ${message}`).join('; ')}`,
    { details: { missing: missing.map(({ subject }) => subject).join(' ') } },
  );
}
