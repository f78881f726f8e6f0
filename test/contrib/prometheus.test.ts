import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { z } from 'zod';
import { EventHub } from '../../src/daemon/event-hub.js';
import { parseListenAddress } from '../../src/daemon/listen-address.js';
import { metricsAdapter } from '../../src/daemon/metrics-server.js';
import { eventually } from '../support/eventually.js';
import { startFakeDaemon } from '../support/fake-daemon.js';
import { useScratch } from '../support/mounts.js';

const run = promisify(execFile);
const RULES = 'contrib/prometheus-rules.yml';

const dashboard = z.object({
  panels: z.array(z.object({ title: z.string(), targets: z.array(z.object({ expr: z.string() })) })),
});
const targets = z.object({
  data: z.object({ activeTargets: z.array(z.object({ health: z.string(), lastError: z.string() })) }),
});
const rules = z.object({
  data: z.object({
    groups: z.array(
      z.object({
        rules: z.array(z.object({ name: z.string(), health: z.string(), lastError: z.string().optional() })),
      }),
    ),
  }),
});
const answer = z.object({
  status: z.literal('success'),
  data: z.object({ result: z.array(z.looseObject({ metric: z.record(z.string(), z.string()) })) }),
});

async function has(tool: string): Promise<boolean> {
  return run(tool, ['--version']).then(
    () => true,
    () => false,
  );
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

describe('Prometheus', () => {
  const scratch = useScratch();

  before(async function () {
    if ((await has('promtool')) && (await has('prometheus'))) return;
    console.log('      skipped: no prometheus and promtool (Debian: apt-get install prometheus)');
    this.skip();
  });

  it('takes the alerts, which come when they should', async () => {
    await run('promtool', ['check', 'rules', RULES]);
    await run('promtool', ['test', 'rules', 'test/contrib/rules-test.yml']);
  });

  it('takes a daemon’s figures, evaluates the alerts, and answers all that the dashboard asks', async () => {
    let url = '';
    const adapter = metricsAdapter(parseListenAddress('127.0.0.1:0', '--metrics-listen'), (at) => (url = at));
    const fake = await startFakeDaemon(scratch.current.at('root'), {
      adapters: [adapter],
      events: new EventHub(),
    });
    const lint = run('promtool', ['check', 'metrics']);
    lint.child.stdin!.end(await (await fetch(url)).text());
    assert.equal((await lint).stdout, '');

    const port = await freePort();
    const config = scratch.current.at('prometheus.yml');
    await writeFile(
      config,
      JSON.stringify({
        global: { scrape_interval: '1s', evaluation_interval: '1s' },
        rule_files: [`${process.cwd()}/${RULES}`],
        scrape_configs: [{ job_name: 'thinfuse', static_configs: [{ targets: [new URL(url).host] }] }],
      }),
    );
    const server = spawn(
      'prometheus',
      [
        `--config.file=${config}`,
        `--storage.tsdb.path=${scratch.current.at('tsdb')}`,
        `--web.listen-address=127.0.0.1:${port}`,
        '--log.level=error',
      ],
      { stdio: 'ignore' },
    );
    const gone = once(server, 'exit');
    const ask = async (path: string): Promise<unknown> =>
      (await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)).json();
    try {
      await eventually('the daemon is scraped', async () => {
        const answered = await ask('targets').catch(() => undefined);
        if (answered === undefined) return false;
        const { activeTargets } = targets.parse(answered).data;
        return activeTargets[0]?.health === 'up';
      });
      await eventually('every rule was evaluated', async () => {
        const found = rules.parse(await ask('rules')).data.groups.flatMap((group) => group.rules);
        return found.length > 0 && found.every(({ health }) => health === 'ok');
      });
      const { panels } = dashboard.parse(
        JSON.parse(await readFile('contrib/grafana-dashboard.json', 'utf8')),
      );
      const known = (await (await fetch(url)).text()).matchAll(/^# TYPE (\S+)/gm);
      const names = new Set([...known].map(([, name]) => name!));
      for (const { title, targets: asked } of panels)
        for (const { expr } of asked) {
          for (const [name] of expr.matchAll(/thinfuse_\w+/g))
            assert.ok(names.has(name), `${title}: ${name}`);
          const query = expr.replaceAll('$instance', '.*').replaceAll('$__rate_interval', '1m');
          answer.parse(await ask(`query?query=${encodeURIComponent(query)}`));
        }
      const build = answer.parse(await ask('query?query=thinfuse_build_info')).data.result;
      assert.equal(build[0]?.metric['kind'], 'leveldb');
    } finally {
      server.kill();
      await gone;
      await fake.daemon.stop('the test is over');
    }
  });
});
