import * as z from 'zod';
import * as devices from './device-outputs.js';
import * as pools from './pool-outputs.js';
import { blockDevices, device, failure, lineage } from './shapes.js';

/**
 * The version of all forms together. It stays where a form gets a further key or a value of a word is added,
 * and changes where one goes or means something else.
 */
const OUTPUT_VERSION = 1;

/** What each command prints with `--json`, by its words, and what a failing one prints (`error`). */
export const OUTPUTS = {
  error: failure,
  init: pools.init,
  start: pools.start,
  stop: pools.stop,
  restart: pools.restart,
  status: pools.status,
  info: pools.info,
  df: pools.df,
  lsblk: blockDevices,
  get: pools.settings,
  set: pools.settings,
  extend: pools.extend,
  destroy: pools.destroy,
  ls: devices.listed,
  'image ls': devices.listed,
  'container ls': devices.listed,
  tree: lineage,
  'image create': device,
  'container create': device,
  'container commit': device,
  'device create': device,
  snapshot: device,
  rollback: device,
  rename: device,
  grow: device,
  quota: device,
  limit: device,
  automount: device,
  label: device,
  clone: z.array(device),
  rm: devices.removed,
  'image rm': devices.removed,
  'container rm': devices.removed,
  wait: devices.settled,
  activate: devices.activated,
  deactivate: devices.deactivated,
  mount: devices.mounted,
  umount: devices.unmounted,
  trim: devices.trimmed,
  diff: devices.changes,
  events: pools.event,
  metrics: pools.metrics,
  iostat: pools.iostat,
  top: pools.iostat,
  ui: pools.ui,
  import: devices.imported,
  export: devices.exported,
  receive: devices.received,
  push: devices.pushed,
  pull: devices.pulled,
  hydrate: devices.hydrated,
  'remote ls': devices.remoteImages,
  'remote rm': devices.remoteRemoved,
  'remote check': devices.remoteChecked,
  'remote gc': devices.collected,
  'legacy ls': devices.legacyDevices,
  'legacy info': pools.legacyInfo,
  'legacy import': devices.legacyImported,
  'legacy export': devices.legacyExported,
  'legacy mount': devices.legacyMounted,
  check: pools.check,
  scrub: pools.scrub,
  doctor: pools.doctor,
  dump: pools.dump,
  restore: pools.restore,
  repair: pools.repair,
  delta: pools.delta,
  rmap: pools.rmap,
  reserve: pools.reserved,
  reserved: z.array(pools.reserved),
  release: pools.released,
  'set-transaction-id': pools.transaction,
  'metadata-size': pools.metadataSize,
  'metadata-pack': pools.packed,
  'metadata-unpack': pools.unpacked,
  discard: pools.discarded,
  shrink: pools.shrunk,
} as const satisfies Readonly<Record<string, z.ZodType>>;

/** These print what they make, or nothing, with `--json` too. */
export const WITHOUT_OUTPUT: readonly string[] = ['send', 'completion', 'manual', 'schema'];

interface SchemaOptions {
  /** Allow no key that the schema does not have. For tests: a newer program may print more. */
  readonly closed?: boolean;
}

/** As JSON Schema, draft 2020-12. */
export function outputSchema(schema: z.ZodType, { closed = false }: SchemaOptions = {}): object {
  return z.toJSONSchema(schema, { io: closed ? 'output' : 'input', unrepresentable: 'throw' });
}

/** One document with the schemas of all commands: `$defs`, by command, words joined by a dash. */
export function outputDocument(): object {
  const { properties, $defs, $schema } = outputSchema(z.object(OUTPUTS)) as Record<string, object | string>;
  const commands = Object.entries(properties as object).map(([command, schema]): [string, unknown] => [
    command.replaceAll(' ', '-'),
    schema,
  ]);
  return {
    $schema,
    $id: `urn:thinfuse:output:${OUTPUT_VERSION}`,
    title: `What thinfuse prints with --json, version ${OUTPUT_VERSION}`,
    $defs: { ...($defs as object), ...Object.fromEntries(commands) },
  };
}
