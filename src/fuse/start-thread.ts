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
  // By its full name: the thread's first module is text and lies nowhere, and the daemon may work in another folder.
  const tsx = pathToFileURL(createRequire(import.meta.url).resolve('tsx/esm/api')).href;
  const load = `import(${JSON.stringify(tsx)}).then((tsx) => { tsx.register(); return import(${JSON.stringify(entry.href)}); })`;
  return new Worker(load, { eval: true, workerData });
}
