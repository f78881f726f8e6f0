/**
 * A program of ours in a file beside the module that asks, as source or as built (scripts/bundle.js).
 * @param module the `import.meta.url` of that module
 * @param name of the file, without its ending
 */
export function programBeside(module: string, name: string): URL {
  return new URL(`./${name}${module.endsWith('.ts') ? '.ts' : '.js'}`, module);
}
