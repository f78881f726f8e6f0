/**
 * Folders below src/ from the bottom up: what each knows, and which of those before it its files may import.
 * A pair that is not here is not meant. docs/architecture.md has this as a table (`npm run tables` writes
 * it).
 */
export const LAYERS = {
  errors: {
    knows: 'one closed list of failures, with the errno and the exit code of each',
    imports: [],
  },
  config: {
    knows: 'defaults with their reasons, limits, sizes, options, the table of host tools',
    imports: ['errors'],
  },
  format: {
    knows: "bytes: pack and unpack side by side; keys; seals; the kernel's table of mounts",
    imports: ['errors'],
  },
  async: {
    knows: 'waiting: for work that is under way, for a state, for the turns of others',
    imports: [],
  },
  threads: {
    knows:
      'what threads share without a lock: a set of numbers, a ring, epochs; a spin lock for what is short',
    imports: [],
  },
  store: {
    knows:
      'LevelDB behind `KeyValue`, and the mark of its last commit; chunk stores of both kinds of pool; the log',
    imports: ['errors', 'format', 'async', 'threads'],
  },
  btree: { knows: "the copy-on-write tree over nodes; no value's meaning", imports: ['errors', 'format'] },
  metadata: {
    knows: 'the open transaction: device table, node table, space maps, backings of partial chunks, check',
    imports: ['errors', 'format', 'async', 'store', 'btree'],
  },
  'thin-tools': {
    knows: "the texts of thin-provisioning-tools: dump's XML, delta, rmap",
    imports: ['errors', 'format', 'metadata'],
  },
  io: {
    knows: 'the data path of one device, on every thread, and `ImageFile`, which is what a transport serves',
    imports: ['errors', 'format', 'threads', 'store', 'metadata'],
  },
  pool: {
    knows: 'devices and their life, commit cadence, modes, space policy',
    imports: ['errors', 'config', 'format', 'async', 'threads', 'store', 'metadata', 'thin-tools', 'io'],
  },
  fuse: {
    knows: "transports: how the kernel's FUSE reaches an `ImageDirectory`",
    imports: ['errors', 'config', 'format', 'async', 'threads', 'io'],
  },
  host: {
    knows: 'running host tools: losetup, mount, mkfs, fsfreeze, tar',
    imports: ['errors', 'config', 'format', 'async'],
  },
  docker: {
    knows: "Docker's JSON files, the `info` block, dm-thin's status line, names",
    imports: ['errors', 'config', 'format', 'pool'],
  },
  service: {
    knows:
      'what is done with devices, once: create, snapshot, mount, view, format, grow, remove; the locks around it; who is active and mounted',
    imports: ['errors', 'config', 'format', 'async', 'io', 'pool', 'host'],
  },
  adapter: {
    knows: "other programs' ways into a serving daemon: their calls, their sockets, pauses",
    imports: ['errors', 'async', 'host', 'service'],
  },
  relay: {
    knows:
      'stands before daemons that follow each other: holds the sockets of other programs, and repeats calls',
    imports: ['errors', 'async', 'host', 'adapter'],
  },
  containerd: {
    knows: "containerd's snapshots: filters, records as device labels, its gRPC service",
    imports: ['errors', 'config', 'format', 'host', 'pool', 'service', 'adapter'],
  },
  volumes: {
    knows: "container engines' volumes: options, records as device labels, their plugin protocol",
    imports: ['errors', 'config', 'format', 'async', 'host', 'pool', 'service', 'adapter'],
  },
  api: {
    knows: 'every operation that can be asked of a pool, as a typed table; its form on the wire; a client',
    imports: ['errors', 'metadata', 'thin-tools', 'pool', 'host', 'service'],
  },
  transfer: {
    knows:
      'what leaves a pool and comes into one, over its operations: send, receive, export, images from trees, diff; files written whole or not at all',
    imports: ['errors', 'config', 'format', 'metadata', 'thin-tools', 'pool', 'host', 'api'],
  },
  legacy: {
    knows:
      "pools that the kernel's dm-thin wrote, read-only, and LVM's disks: their formats, devices, Docker's names",
    imports: ['errors', 'config', 'format', 'thin-tools', 'io', 'fuse', 'host', 'api', 'transfer'],
  },
  remote: {
    knows: 'images in stores elsewhere: their format, S3 and OCI stores, push, pull, collection',
    imports: ['errors', 'format', 'threads', 'pool', 'host', 'transfer', 'api'],
  },
  testing: {
    knows: 'contract suites for implementers of stores and transports, with any test runner',
    imports: ['errors', 'async', 'store', 'io', 'fuse'],
  },
  daemon: {
    knows: 'composition root, life cycle, control socket',
    imports: [
      ...['errors', 'config', 'format', 'async', 'store', 'metadata', 'thin-tools', 'io', 'pool', 'fuse'],
      ...['host', 'docker', 'service', 'adapter', 'relay', 'containerd', 'volumes', 'api', 'remote'],
    ],
  },
  library: {
    knows: "the package's public face: a pool in this process, a client of a daemon, contract suites",
    imports: [
      ...[
        'errors',
        'config',
        'format',
        'store',
        'io',
        'fuse',
        'pool',
        'host',
        'service',
        'api',
        'transfer',
        'testing',
      ],
      ...['daemon'],
    ],
  },
  outputs: {
    knows: 'what each command prints with `--json`, as schemas; their version',
    imports: ['errors'],
  },
  manual: {
    knows: "the man page and the shells' completions, made from the command line's own help",
    imports: [],
  },
  commands: {
    knows: 'parse, call, print',
    imports: [
      ...['errors', 'config', 'format', 'store', 'metadata', 'thin-tools', 'pool', 'fuse'],
      ...[
        'host',
        'transfer',
        'remote',
        'legacy',
        'docker',
        'adapter',
        'containerd',
        'volumes',
        'api',
        'daemon',
        'outputs',
        'manual',
      ],
    ],
  },
  cli: { knows: 'the program: its commands, its exit', imports: ['errors', 'config', 'api', 'commands'] },
};

/**
 * Every package of package.json, and the files or folders that may import it; all others meet an interface of
 * ours in front of it.
 */
export const PACKAGES = {
  '@aws-sdk/credential-providers': ['src/remote/s3-credentials.ts'],
  '@bokuweb/zstd-wasm': ['src/remote/block-codec.ts'],
  '@grpc/grpc-js': [
    ...['src/containerd/snapshot-server.ts', 'src/containerd/known-fields.ts', 'src/containerd/protos.ts'],
    ...['src/containerd/diff/content-store.ts', 'src/containerd/diff/diff-service.ts'],
  ],
  '@grpc/proto-loader': ['src/containerd/protos.ts'],
  '@node-rs/crc32': ['src/format', 'src/legacy', 'src/store'],
  '@toondepauw/node-zstd': ['src/containerd/diff/compression.ts', 'src/store/packed-value.ts'],
  'async-lock': ['src/containerd', 'src/service/device-locks.ts', 'src/volumes'],
  aws4fetch: ['src/remote/s3-store.ts'],
  bitfield: ['src/metadata/busy-map.ts'],
  'cli-progress': ['src/commands/progress-bar.ts'],
  commander: ['src/cli', 'src/commands', 'src/manual/command-tree.ts'],
  'fast-check': ['src/testing'],
  'fastest-levenshtein': [
    'src/config/nearest.ts',
    'src/volumes/volume-options.ts',
    'src/containerd/snapshotter-settings.ts',
  ],
  fastify: ['src/daemon', 'src/volumes/volume-server.ts'],
  'fuse-native': ['src/fuse/fuse-native-transport.ts'],
  level: ['src/store/level-store.ts'],
  'lz4-napi': ['src/store/packed-value.ts'],
  'lru-cache': ['src/legacy/node-reader.ts', 'src/metadata/node-table.ts'],
  pino: ['src/adapter', 'src/containerd', 'src/daemon', 'src/service', 'src/volumes'],
  'prom-client': ['src/daemon/metrics.ts'],
  re2js: ['src/containerd/filters.ts'],
  'smol-toml': ['src/containerd/engine-config.ts', 'src/remote/registry-hosts.ts'],
  saxes: ['src/remote/s3-list.ts', 'src/thin-tools/parse-dump.ts'],
  zod: [
    ...['src/commands', 'src/config', 'src/containerd', 'src/daemon', 'src/host', 'src/legacy', 'src/pool'],
    ...['src/outputs', 'src/remote', 'src/thin-tools', 'src/transfer', 'src/volumes'],
  ],
};

/** Ways around an importer. */
const NEVER_IMPORTED = [
  'classic-level',
  'abstract-level',
  'fuse-shared-library',
  'fuse-shared-library-linux',
];

/**
 * Paths with rules of their own: each layer, and each folder or file below one that may import what the rest
 * of its layer may not.
 */
const PLACES = [
  ...new Set([...Object.keys(LAYERS).map((layer) => `src/${layer}`), ...Object.values(PACKAGES).flat()]),
].sort((a, b) => a.length - b.length);

/**
 * For eslint.config.js: `no-restricted-imports` of every file below src/. The last one that fits a file
 * holds.
 */
export const IMPORT_RULES = PLACES.flatMap((place) =>
  (place.endsWith('.ts') ? [place] : [`${place}/*.ts`, `${place}/*/*.ts`]).map((files) => ({
    name: `thinfuse/imports/${files}`,
    files: [files],
    rules: { 'no-restricted-imports': ['error', closedImports(place, files.split('/').length - 3)] },
  })),
);

/** @param depth how many folders below the layer's own the files lie */
function closedImports(place, depth) {
  const layer = place.split('/')[1];
  const { imports } = LAYERS[layer];
  const closed = Object.entries(PACKAGES)
    .filter(([, importers]) => !importers.some((importer) => `${place}/`.startsWith(`${importer}/`)))
    .map(([name, importers]) => ({ name, message: `Only ${importers.join(', ')} may import ${name}.` }));
  const never = NEVER_IMPORTED.map((name) => ({ name, message: 'Use the package that wraps it.' }));
  const open = imports.length > 0 ? `(?!(?:${imports.join('|')})/)` : '';
  const outside = {
    regex: `^${'\\.\\./'.repeat(depth + 1)}${open}`,
    message: `Layer ${layer} imports only ${imports.join(', ') || 'its own files'} (eslint.layers.js).`,
  };
  return { paths: [...closed, ...never], patterns: [outside] };
}
