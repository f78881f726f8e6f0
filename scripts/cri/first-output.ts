// What a kubelet does with a container whose image is not here: node --import tsx scripts/cri/first-output.ts SOCKET IMAGE SANDBOX SANDBOX-CONFIG NAME
// Pulls the image, makes and starts the container, and waits for the first line of its log in the sandbox's folder. Prints as JSON how many
// milliseconds the pull took, and all of it, and what the line says. The container is removed.

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cri } from './client.js';

const [socket = '', image = '', sandbox = '', configText = '{}', name = ''] = process.argv.slice(2);
const config = JSON.parse(configText) as { readonly log_directory: string };
const cri = new Cri(socket);
try {
  const began = performance.now();
  await cri.call('PullImage', { image: { image }, sandbox_config: config });
  const pulled = performance.now();
  const { container_id: id } = await cri.call<{ container_id: string }>('CreateContainer', {
    pod_sandbox_id: sandbox,
    config: { metadata: { name, attempt: 0 }, image: { image }, log_path: `${name}.log`, linux: {} },
    sandbox_config: config,
  });
  await cri.call('StartContainer', { container_id: id });
  let log = '';
  while (!log.includes('\n')) {
    log = await readFile(path.join(config.log_directory, `${name}.log`), 'utf8').catch(() => '');
    await sleep(5);
  }
  const ended = performance.now();
  await cri.call('RemoveContainer', { container_id: id });
  const [line = ''] = log.split('\n');
  console.log(
    JSON.stringify({
      pull: Math.round(pulled - began),
      all: Math.round(ended - began),
      // Behind the time, the stream and whether the line goes on.
      line: line.split(' ').slice(3).join(' '),
    }),
  );
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
cri.close();
