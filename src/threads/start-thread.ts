import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

/**
 * Starts a module of ours as a thread. Run from its sources, the program is loaded through tsx, which threads
 * do not take over from the main one: there it is registered first.
 * @param module the `import.meta.url` of the module that asks
 * @param name of the file beside it, without its ending
 */
export function startThread(module: string, name: string, workerData: object): Worker {
  const source = module.endsWith('.ts');
  const entry = new URL(`./${name}${source ? '.ts' : '.js'}`, module);
  if (!source) return new Worker(entry, { workerData });
  // The thread's first module is text and lies nowhere, and the daemon may work in another folder: so tsx is
  // named in full. Only its ES module registers in a thread, and `require.resolve` would find the other one.
  const tsx = pathToFileURL(createRequire(module).resolve('tsx/package.json'));
  const api = new URL('./dist/esm/api/index.mjs', tsx).href;
  const load = `import(${JSON.stringify(api)}).then((tsx) => { tsx.register(); return import(${JSON.stringify(entry.href)}); })`;
  return new Worker(load, { eval: true, workerData });
}
