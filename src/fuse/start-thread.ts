import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';

/**
 * Starts a module of ours as a thread. Run from its sources, the program is loaded through tsx, which threads do not take over from the main
 * one: there it is registered first.
 * @param name of the file beside this one, without its ending
 */
export function startThread(name: string, workerData: object): Worker {
  const source = import.meta.url.endsWith('.ts');
  const entry = new URL(`./${name}${source ? '.ts' : '.js'}`, import.meta.url);
  if (!source) return new Worker(entry, { workerData });
  // The thread's first module is text and lies nowhere, and the daemon may work in another folder: so tsx is named in full. Only its ES
  // module registers in a thread, and `require.resolve` would find the other one.
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx/package.json'));
  const api = new URL('./dist/esm/api/index.mjs', tsx).href;
  const load = `import(${JSON.stringify(api)}).then((tsx) => { tsx.register(); return import(${JSON.stringify(entry.href)}); })`;
  return new Worker(load, { eval: true, workerData });
}
