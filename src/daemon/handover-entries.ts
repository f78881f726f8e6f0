import * as z from 'zod';
import type { HandedMount } from '../service/device-mounts.js';

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

const open = z.object({
  node: z.number(),
  name: z.string(),
  unique: z.string(),
  durable: z.boolean().optional(),
  forWriting: z.boolean().optional(),
});

/** What a handover has, in one version of 2: all of it as one value. */
export const handoverState = z.object({
  connection: z.object({
    maxIo: z.number(),
    nodes: z.array(z.object({ id: z.number(), name: z.string() })).readonly(),
    open: z.array(open.extend({ handle: z.number() })).readonly(),
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
export type HandoverState = z.infer<typeof handoverState>;

/** What is true of one thing from now on; null: it is not there any more. */
const change = z.union([
  z.tuple([z.literal('node'), z.number(), z.string().nullable()]).readonly(),
  z.tuple([z.literal('open'), z.number(), open.nullable()]).readonly(),
  z.tuple([z.literal('active'), z.string(), z.literal(true).nullable()]).readonly(),
  z.tuple([z.literal('frozen'), z.string(), z.literal(true).nullable()]).readonly(),
  z.tuple([z.literal('attaching'), z.string(), z.literal(true).nullable()]).readonly(),
  /** An image file, and the device that is active for that alone, or ''. */
  z.tuple([z.literal('unfinished'), z.string(), z.string().nullable()]).readonly(),
  z.tuple([z.literal('mount'), z.string(), mount.nullable()]).readonly(),
]);
export type HandoverChange = z.infer<typeof change>;

type Kind = HandoverChange[0];
type ValueOf<K extends Kind> = NonNullable<Extract<HandoverChange, readonly [K, ...unknown[]]>[2]>;
type KeyOf<K extends Kind> = Extract<HandoverChange, readonly [K, ...unknown[]]>[1];

/** All that a handover has, by what it is about, oldest first. */
export class HandoverEntries {
  readonly #maps: { readonly [K in Kind]: Map<KeyOf<K>, ValueOf<K>> } = {
    node: new Map(),
    open: new Map(),
    active: new Map(),
    frozen: new Map(),
    attaching: new Map(),
    unfinished: new Map(),
    mount: new Map(),
  };

  get size(): number {
    return Object.values(this.#maps).reduce((sum, { size }) => sum + size, 0);
  }

  apply([kind, key, value]: HandoverChange): void {
    const map = this.#maps[kind] as Map<typeof key, NonNullable<typeof value>>;
    if (value === null) map.delete(key);
    else map.set(key, value);
  }

  /** Each entry as the change that makes it. They may change meanwhile. */
  *all(): Generator<HandoverChange> {
    for (const [kind, map] of Object.entries(this.#maps))
      for (const [key, value] of map) yield [kind, key, value] as HandoverChange;
  }

  state(maxIo: number): HandoverState {
    const { node, open: handles, active, frozen, attaching, mount: mounts } = this.#maps;
    // It ends with the mount, whose line comes first.
    const mounted = new Set([...mounts.values()].map(({ request }) => request.image));
    const unfinished = [...this.#maps.unfinished].filter(([image]) => !mounted.has(image));
    return {
      connection: {
        maxIo,
        nodes: [...node].map(([id, name]) => ({ id, name })),
        open: [...handles].map(([handle, rest]) => ({ handle, ...rest })),
      },
      active: [...active.keys()],
      frozen: [...frozen.keys()],
      unfinished: [...unfinished.map(([image]) => image), ...attaching.keys()],
      passing: unfinished.map(([, device]) => device).filter((device) => device !== ''),
      attaching: [...attaching.keys()],
      mounts: [...mounts.values()],
    };
  }
}

/** Undefined: none that this version understands. */
export function parseChange(line: string): HandoverChange | undefined {
  try {
    return change.safeParse(JSON.parse(line)).data;
  } catch {
    return undefined;
  }
}
