import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as z from 'zod';
import type { HandedMount } from '../service/device-mounts.js';
import type { RootLayout } from '../config/root-layout.js';

const mount: z.ZodType<HandedMount> = z.object({
  name: z.string(),
  target: z.string(),
  loop: z.string(),
  request: z.object({
    image: z.string(),
    target: z.string(),
    filesystem: z.enum(['xfs', 'ext4']),
    readOnly: z.boolean(),
    log: z.enum(['clean', 'replay']).optional(),
    mountOptions: z.string(),
    xfsNospaceMaxRetries: z.number(),
  }),
  readOnly: z.boolean(),
  /** Undefined in what an earlier version left: as `request` has it. */
  filesystem: z.string().optional(),
  view: z.string().optional(),
  lacks: z.string().optional(),
  /** Undefined in what an earlier version left. */
  bounded: z.boolean().optional(),
  madeTarget: z.boolean(),
  activated: z.boolean(),
  pinned: z.boolean(),
  viewers: z.array(z.tuple([z.number(), z.number()])),
});

const handover = z.object({
  version: z.literal(2),
  /** Of the supervisor. If it lives, another daemon will follow. */
  supervisor: z.number(),
  connection: z.object({
    maxIo: z.number(),
    nodes: z.array(z.object({ id: z.number(), name: z.string() })).readonly(),
    open: z
      .array(
        z.object({
          handle: z.number(),
          node: z.number(),
          name: z.string(),
          unique: z.string(),
          durable: z.boolean().optional(),
        }),
      )
      .readonly(),
  }),
  active: z.array(z.string()),
  /**
   * Image files whose filesystems were frozen, and those that were about to be mounted: what the next daemon
   * has to end.
   */
  frozen: z.array(z.string()),
  unfinished: z.array(z.string()),
  /** Devices that are active for one of those alone. Undefined in what an earlier version left. */
  passing: z.array(z.string()).optional(),
  /** Those image files of them that a tool was at, whose devices are active for that alone. */
  attaching: z.array(z.string()).optional(),
  mounts: z.array(mount),
});

/** All that a daemon knows and its pool does not, so that the next one can go on below mounts that stay. */
export type Handover = z.infer<typeof handover>;

function fileIn({ root }: Pick<RootLayout, 'root'>): string {
  return path.join(root, 'handover.json');
}

/** Whole or not at all; nothing that a machine's crash would have to leave. */
export function leaveHandover(layout: Pick<RootLayout, 'root'>, state: Handover): void {
  const file = fileIn(layout);
  writeFileSync(`${file}.tmp`, JSON.stringify(state), { mode: 0o600 });
  renameSync(`${file}.tmp`, file);
}

/** The handover of the last daemon. Undefined if there is none, or none that this version understands. */
export function readHandover(layout: Pick<RootLayout, 'root'>): Handover | undefined {
  try {
    return handover.safeParse(JSON.parse(readFileSync(fileIn(layout), 'utf8'))).data;
  } catch {
    return undefined;
  }
}

export function hasHandover(layout: Pick<RootLayout, 'root'>): boolean {
  return existsSync(fileIn(layout));
}

/** Of a daemon without a successor. */
export function forgetHandover(layout: Pick<RootLayout, 'root'>): void {
  rmSync(fileIn(layout), { force: true });
}

/**
 * A daemon ended, and its living supervisor is about to start the next one. No other process may take the
 * pool meanwhile.
 */
export function isBeingReplaced(layout: Pick<RootLayout, 'root'>): boolean {
  const pid = readHandover(layout)?.supervisor;
  if (pid === undefined) return false;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('--supervised');
  } catch {
    return false;
  }
}
