import path from 'node:path';
import type { HostFinding } from '../host/host-finding.js';
import { differFindings } from './engine-differ.js';
import { isTable, settingsAt, texts, type EngineConfig, type Settings } from './engine-config.js';

/** What a pool has for containerd. */
export interface PoolPlaces {
  /** Absolute. */
  readonly root: string;
  /** The folder whose statfs(2) is the pool's. */
  readonly space: string;
  /** Whether a process accepts connections at a socket. */
  readonly answers: (socket: string) => Promise<boolean>;
}

export type Found = Omit<HostFinding, 'area' | 'version'>;

const OLD_CRI = 'io.containerd.grpc.v1.cri';
const NEW_CRI = 'io.containerd.cri.v1.images';
const TRANSFER = 'io.containerd.transfer.v1.local';
const PLUGIN_KEYS = ['type', 'address', 'platform', 'exports', 'capabilities'];
const REMAP = 'remap-ids';

/**
 * What a containerd's configuration has for a pool, what it lacks and what is in the way. `required`:
 * containerd reaches no snapshotter of the pool without it.
 */
export async function engineFindings(
  config: EngineConfig,
  pool: PoolPlaces,
): Promise<readonly HostFinding[]> {
  const plugins = Object.entries(config.proxyPlugins).filter(([name, settings]) =>
    isOurs('snapshot', name, settings, pool),
  );
  const differs = Object.entries(config.proxyPlugins).filter(([name, settings]) =>
    isOurs('diff', name, settings, pool),
  );
  const names = plugins.map(([name]) => name);
  const found = [
    versionFinding(config),
    ...(plugins.length === 0 ? [noPlugin(pool)] : []),
    ...(await Promise.all(plugins.map(([name, settings]) => pluginFindings(name, settings, pool)))).flat(),
    ...criFindings(config, names),
    ...transferFindings(config, names),
    ...differFindings(
      config,
      pool,
      differs.map(([name]) => name),
    ),
    ...(await Promise.all(
      differs.map(([name, { address }]) => addressFinding(name, socketOf(address), pool)),
    )),
  ];
  return found.map((finding) => ({ area: 'containerd', ...finding }));
}

function isOurs(
  wanted: 'snapshot' | 'diff',
  name: string,
  { type, address }: Settings,
  { root }: PoolPlaces,
): boolean {
  if (type !== wanted) return false;
  return /^thinfuse\b/.test(name) || path.dirname(socketOf(address)) === root;
}

/** containerd takes a path, with or without its scheme. */
function socketOf(address: unknown): string {
  return typeof address === 'string' ? address.replace(/^unix:\/\//, '') : '';
}

function versionFinding({ version }: EngineConfig): Found {
  const finding = { subject: 'version', need: 'required' } as const;
  if (version === 2 || version === 3)
    return {
      ...finding,
      state: 'ok',
      message: version === 2 ? '2, for containerd 1.x and later' : '3, for containerd 2.x',
    };
  if (version !== undefined && version > 3)
    return {
      ...finding,
      state: 'unknown',
      message: `${version} is newer than what this version of thinfuse knows`,
    };
  return {
    ...finding,
    state: 'missing',
    message: `the file is of version ${version ?? '1 (none is written)'}, in which plugins have other names; begin it with version = 2 (containerd 1.x) or version = 3 (2.x)`,
  };
}

function noPlugin({ root }: PoolPlaces): Found {
  return {
    subject: 'proxy plugin',
    need: 'required',
    state: 'missing',
    message: `none is a snapshotter of ${root}; add: [proxy_plugins.thinfuse] with type = "snapshot" and address = "${root}/snapshotter.sock"`,
  };
}

async function pluginFindings(name: string, settings: Settings, pool: PoolPlaces): Promise<readonly Found[]> {
  const socket = socketOf(settings['address']);
  const unknown = Object.keys(settings).filter((key) => !PLUGIN_KEYS.includes(key));
  return [
    await addressFinding(name, socket, pool),
    ...unknown.map((key): Found => ({
      subject: `${name}: ${key}`,
      need: 'advised',
      state: 'missing',
      message: `containerd knows no ${key} of a proxy plugin, and leaves it out; there are ${PLUGIN_KEYS.join(', ')}`,
    })),
    exportsFinding(name, settings, pool),
    ...capabilityFindings(name, settings),
  ];
}

async function addressFinding(name: string, socket: string, pool: PoolPlaces): Promise<Found> {
  const finding = { subject: `${name}: address`, need: 'required' } as const;
  if (!path.isAbsolute(socket))
    return {
      ...finding,
      state: 'missing',
      message: `${JSON.stringify(socket)} is no absolute path of a socket; write "${pool.root}/snapshotter.sock"`,
    };
  if (await pool.answers(socket).catch(() => false)) return { ...finding, state: 'ok', message: socket };
  return {
    ...finding,
    state: 'missing',
    message:
      `nobody answers on ${socket}; start the daemon with it: thinfuse start --snapshotter ${path.dirname(socket) === pool.root && path.basename(socket) === 'snapshotter.sock' ? '' : socket}`.trimEnd(),
  };
}

function exportsFinding(name: string, settings: Settings, { space }: PoolPlaces): Found {
  const finding = { subject: `${name}: exports.root`, need: 'advised' } as const;
  const root = settingsAt(settings, 'exports')['root'];
  if (root === space) return { ...finding, state: 'ok', message: space };
  const has = root === undefined ? 'it is not there' : `it is ${JSON.stringify(root)}`;
  return {
    ...finding,
    state: 'missing',
    message: `${has}, and a kubelet does not see how full the pool is; write root = "${space}" in [proxy_plugins.${name}.exports]`,
  };
}

function capabilityFindings(name: string, settings: Settings): readonly Found[] {
  const subject = `${name}: capabilities`;
  const has = texts(settings['capabilities']);
  const refused = has.filter((each) => each !== REMAP);
  if (refused.length > 0)
    return [
      {
        subject,
        need: 'required',
        state: 'missing',
        message: `thinfuse has no ${refused.join(', ')}, and refuses calls that need it; take it out`,
      },
    ];
  return [
    {
      subject,
      need: 'optional',
      state: has.includes(REMAP) ? 'ok' : 'missing',
      message: has.includes(REMAP)
        ? REMAP
        : `without "${REMAP}" containerd copies an image to change the owners of its files for a user namespace`,
    },
  ];
}

function criFindings(config: EngineConfig, names: readonly string[]): readonly Found[] {
  const isNew = config.version === 3;
  const [plugin, other] = isNew ? [NEW_CRI, OLD_CRI] : [OLD_CRI, NEW_CRI];
  const settingsOf = (id: string): Settings =>
    id === OLD_CRI ? settingsAt(config.plugins, id, 'containerd') : settingsAt(config.plugins, id);
  const place = isNew ? `[plugins."${NEW_CRI}"]` : `[plugins."${OLD_CRI}".containerd]`;
  const subject = 'CRI: snapshotter';
  if (config.disabled.some((each) => each === 'cri' || each === plugin))
    return [
      {
        subject,
        need: 'optional',
        state: 'missing',
        message: 'disabled_plugins has it off, so no kubelet uses this containerd',
      },
    ];
  const settings = settingsOf(plugin);
  const { snapshotter } = settings;
  if (typeof snapshotter !== 'string' || !names.includes(snapshotter)) {
    const misplaced = settingsOf(other)['snapshotter'] !== undefined;
    const has = misplaced
      ? `it is in "${other}", which a file of version ${config.version ?? 1} does not have read`
      : `it is ${snapshotter === undefined ? 'not there' : JSON.stringify(snapshotter)}`;
    return [
      {
        subject,
        need: misplaced ? 'required' : 'optional',
        state: 'missing',
        message: `${has}; for pods in the pool write snapshotter = "${names[0] ?? 'thinfuse'}" in ${place}`,
      },
    ];
  }
  const lazy = settings['disable_snapshot_annotations'] === false;
  return [
    { subject, need: 'optional', state: 'ok', message: snapshotter },
    {
      subject: 'CRI: annotations',
      need: 'optional',
      state: lazy ? 'ok' : 'missing',
      message: lazy
        ? 'the snapshotter is told which image a layer is of'
        : `images are not started before they are here; for that write disable_snapshot_annotations = false in ${place}`,
    },
  ];
}

/** Since 2.0.2 `ctr images pull` and nerdctl have containerd itself pull, and it has to know where to. */
function transferFindings({ version, plugins }: EngineConfig, names: readonly string[]): readonly Found[] {
  if (version !== 3) return [];
  const finding = { subject: 'transfer service', need: 'advised' } as const;
  const all = settingsAt(plugins, TRANSFER)['unpack_config'];
  const entries = Array.isArray(all) ? all.filter(isTable) : [];
  const ours = entries.find(
    ({ snapshotter }) => typeof snapshotter === 'string' && names.includes(snapshotter),
  );
  if (ours === undefined)
    return [
      {
        ...finding,
        state: 'missing',
        message: `pulls end with "no unpack platforms defined"; add [[plugins."${TRANSFER}".unpack_config]] with platform = "linux" and snapshotter = "${names[0] ?? 'thinfuse'}"`,
      },
    ];
  return [
    typeof ours['platform'] === 'string'
      ? {
          ...finding,
          state: 'ok',
          message: `unpacks ${ours['platform']} with ${String(ours['snapshotter'])}`,
        }
      : {
          ...finding,
          state: 'missing',
          message: `its unpack_config for ${String(ours['snapshotter'])} has no platform; write platform = "linux"`,
        },
  ];
}
