import { ThinError } from '../../errors/thin-error.js';
import { reverseMap } from '../../metadata/reverse-map.js';
import type { FrozenMetadata } from '../../pool/pool-tools.js';
import type { ThinPool } from '../../pool/thin-pool.js';
import { existingName } from '../../service/devices.js';
import { deltaText } from '../../thin-tools/delta-text.js';
import { dump } from '../../thin-tools/dump.js';
import { rmapLines } from '../../thin-tools/rmap-text.js';
import type { TextOperationName, TextOperations } from '../../api/operations.js';
import type { EventHub } from '../event-hub.js';

/** A comment before the text that thin_restore takes. */
const BEHIND =
  "<!-- this is the pool's last commit, and its log has later changes; they are taken over by a start, or when the disk has room -->\n";

export type TextHandlers = {
  readonly [K in TextOperationName]: (input: TextOperations[K]['input']) => AsyncIterable<string>;
};

/** Text about metadata that does not change meanwhile, of a live or a closed pool. */
export function textOperations(
  freeze: () => Promise<FrozenMetadata>,
  { events, pool }: { readonly events?: EventHub | undefined; readonly pool?: Pick<ThinPool, 'active'> } = {},
): TextHandlers {
  async function* frozen(tell: (metadata: FrozenMetadata) => AsyncGenerator<string>): AsyncGenerator<string> {
    const metadata = await freeze();
    try {
      yield* tell(metadata);
    } finally {
      await metadata.close();
    }
  }

  return {
    events: ({ past, follow }) => {
      if (events === undefined)
        throw new ThinError('not-running', 'only a daemon has events; start it with: thinfuse start');
      return events.lines({ past: past ?? false, follow: follow ?? false });
    },

    async *'device.runs'({ device }) {
      if (pool === undefined)
        throw new ThinError('not-running', 'no process has the pool open; start it with: thinfuse start');
      const runs = pool.active(existingName(device))?.runs?.();
      if (runs === undefined)
        throw new ThinError('closed', `device ${device} is not active; activate it to read what it maps`);
      for await (const part of runs) yield part.map((run) => `${JSON.stringify(run)}\n`).join('');
    },

    'metadata.dump': ({ snapshot, ...options }) =>
      frozen(async function* (metadata) {
        const view =
          options.repair === true && snapshot === undefined
            ? await metadata.salvage()
            : await metadata.view(snapshot);
        if (metadata.isBehind) yield BEHIND;
        yield* dump(view, { ...options, poolOptions: metadata.options() });
      }),

    'metadata.delta': ({ snapshot, ...options }) =>
      frozen(async function* (metadata) {
        if (metadata.isBehind) yield BEHIND;
        yield* deltaText(await metadata.view(snapshot), options);
      }),

    'metadata.rmap': ({ snapshot, regions, json }) =>
      frozen(async function* (metadata) {
        for (const { begin, end } of regions)
          if (end <= begin)
            throw new ThinError(
              'invalid-argument',
              `the region ${begin}..${end} is empty; write it as BEGIN..END, END being one past its last block`,
            );
        const runs = await reverseMap(await metadata.view(snapshot), regions);
        yield json === true ? `${JSON.stringify(runs, null, 2)}\n` : rmapLines(runs);
      }),

    'pool.scrub': () =>
      frozen(async function* (metadata) {
        for await (const step of metadata.scrub()) yield `${JSON.stringify(step)}\n`;
      }),
  };
}
