/**
 * Pushes, pulls, removals of tags and collections by several processes at once, over a store that is slow and
 * fails at random, without any grace; after each change of the store, all that its tags need has to be there,
 * and all that a pull has claimed while it pulls.
 *
 *     node --import tsx scripts/remote/campaign/main.ts [ROUNDS]       of each of the two that push (1000)
 */
import { execFile, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import { Bucket } from './bucket.js';

const rounds = Number(process.argv[2] ?? 1000);
const bucket = new Bucket({ refused: 0.01, lost: 0.01, slow: 0.1, mostMs: 20 });
const port = await bucket.listen();
const loader = path.resolve(import.meta.dirname, '../../../node_modules/tsx/dist/loader.mjs');
const worker = path.join(import.meta.dirname, 'worker.ts');

/** Those that go on as long as others push. */
const lasting: ChildProcess[] = [];

function run(work: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = execFile(
      process.execPath,
      ['--import', loader, worker, work, `${port}`, `${rounds}`],
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout.trim());
        else reject(new Error(stderr));
      },
    );
    lasting.push(child);
  });
}

const timer = setInterval(() => {
  console.log(
    `${bucket.requests} requests, ${bucket.failures} of them failed, ${bucket.removed} objects removed, ${bucket.broken ?? 'no image broken'}`,
  );
}, 30_000);
const others = ['pull', 'pull', 'remove', 'collect', 'collect'].map(run);
const pushed = await Promise.all(['push', 'push'].map(run));
for (const child of lasting) child.stdin?.end();
const said = [...pushed, ...(await Promise.all(others))];
clearInterval(timer);
bucket.close();
for (const line of said) console.log(line);
console.log(
  `${rounds} rounds of two that push, among 7 processes: ${bucket.requests} requests, ${bucket.failures} failed, ${bucket.removed} objects removed`,
);
const broken = bucket.broken ?? said.find((line) => line.includes('BROKEN'));
console.log(broken ?? 'no image was broken');
process.exitCode = broken === undefined && bucket.removed > 0 ? 0 : 1;
