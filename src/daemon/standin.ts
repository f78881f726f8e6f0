// Stand-ins until src/docker lands; not committed.
import { stat } from 'node:fs/promises';
import type { PoolInfo } from '../pool/info.js';
import type { ThinPool } from '../pool/thin-pool.js';
export async function devicePrefix(root: string): Promise<string> {
  const s = await stat(root);
  return `docker-${String(s.dev >> 8)}:${String(s.dev & 255)}-${String(s.ino)}`;
}
export const poolName = (p: string): string => `${p}-pool`;
export const deviceName = (p: string, n: string): string => `${p}-${n}`;
export const dmStatusLine = (i: PoolInfo): string => `${String(i.transactionId)} rw`;
export class MetadataProjection {
  constructor(_f: string) {}
  async write(_p: ThinPool): Promise<void> {}
}
