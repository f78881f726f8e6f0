/** Layers from the bottom up (docs/architecture.md). A folder below src/ is a layer and imports only those before it. */
export const LAYERS = [
  'errors',
  'config',
  'format',
  'shared',
  'store',
  'btree',
  'metadata',
  'thin-tools',
  'io',
  'pool',
  'fuse',
  'host',
  'transfer',
  'legacy',
  'docker',
  'containerd',
  'volumes',
  'service',
  'testing',
  'daemon',
  'library',
  'manual',
  'commands',
  'cli',
];

/** Layers that may import less than everything below them. */
const NARROWER = {
  host: ['errors', 'config', 'format'],
  transfer: ['errors', 'config', 'format'],
  legacy: ['errors', 'config', 'format', 'io', 'transfer'],
  service: ['errors', 'config', 'format', 'metadata', 'io', 'pool'],
  library: ['errors', 'config', 'format', 'io', 'pool', 'service', 'daemon', 'store', 'testing'],
  testing: ['errors', 'store', 'io', 'fuse'],
};

/** The one file that may import a package; everybody else meets our own interface in front of it. */
export const SOLE_IMPORTERS = {
  'fuse-native': 'src/fuse/fuse-native-transport.ts',
  level: 'src/store/level-store.ts',
  bitfield: 'src/metadata/space-map.ts',
  '@grpc/grpc-js': 'src/daemon/snapshotter/snapshot-server.ts',
  '@grpc/proto-loader': 'src/daemon/snapshotter/snapshot-server.ts',
  'prom-client': 'src/daemon/metrics.ts',
  re2js: 'src/containerd/filters.ts',
};

/** Ways around a sole importer. */
const NEVER_IMPORTED = [
  'classic-level',
  'abstract-level',
  'fuse-shared-library',
  'fuse-shared-library-linux',
];

function layersBelow(layer) {
  return NARROWER[layer] ?? LAYERS.slice(0, LAYERS.indexOf(layer));
}

/**
 * Options of no-restricted-imports for the files of a layer.
 * `depth`: how many folders below the layer's own they lie; `file`: a sole importer, to which its package stays open.
 */
export function closedImports(layer, { depth = 0, file } = {}) {
  const owned = Object.entries(SOLE_IMPORTERS)
    .filter(([, owner]) => owner !== file)
    .map(([name, owner]) => ({ name, message: `Only ${owner} imports ${name}.` }));
  const never = NEVER_IMPORTED.map((name) => ({ name, message: 'Use the package that wraps it.' }));
  const below = layersBelow(layer);
  const open = below.length > 0 ? `(?!(?:${below.join('|')})/)` : '';
  const upward = {
    regex: `^${'\\.\\./'.repeat(depth + 1)}${open}`,
    message: `Layer ${layer} imports only ${below.join(', ') || 'its own files'} (eslint.layers.js).`,
  };
  return { paths: [...owned, ...never], patterns: [upward] };
}
