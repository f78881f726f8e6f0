/** Layers from the bottom up (docs/architecture.md). A folder below src/ is a layer and imports only those before it. */
export const LAYERS = [
  'errors',
  'config',
  'format',
  'store',
  'btree',
  'metadata',
  'io',
  'pool',
  'fuse',
  'host',
  'docker',
  'daemon',
  'commands',
  'cli',
];

/** Layers that may import less than everything below them. */
const NARROWER = { host: ['errors', 'config', 'format'] };

/** The one file that may import a package; everybody else meets our own interface in front of it. */
export const SOLE_IMPORTERS = {
  'fuse-native': 'src/fuse/fuse-native-transport.ts',
  level: 'src/store/level-store.ts',
  bitfield: 'src/metadata/space-map.ts',
};

/** Ways around a sole importer. */
const NEVER_IMPORTED = [
  'classic-level',
  'abstract-level',
  'fuse-shared-library',
  'fuse-shared-library-linux',
];

export function layersBelow(layer) {
  return NARROWER[layer] ?? LAYERS.slice(0, LAYERS.indexOf(layer));
}

/** One zone a layer for import-x/no-restricted-paths: all of src/ is closed but the layer itself and those below it. */
export const ZONES = LAYERS.map((layer) => ({
  target: `./src/${layer}`,
  from: './src',
  except: [layer, ...layersBelow(layer)].map((open) => `./${open}`),
  message: `Layer ${layer} imports only ${layersBelow(layer).join(', ') || 'nothing'} (see eslint.layers.js).`,
}));

/** Options of no-restricted-imports for one file (or for any other file, without `file`). */
export function closedPackages(file) {
  const owned = Object.entries(SOLE_IMPORTERS)
    .filter(([, owner]) => owner !== file)
    .map(([name, owner]) => ({ name, message: `Only ${owner} imports ${name}.` }));
  const never = NEVER_IMPORTED.map((name) => ({ name, message: 'Use the package that wraps it.' }));
  return { paths: [...owned, ...never] };
}
