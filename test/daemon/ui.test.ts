import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import puppeteer, { type Browser, type Page } from 'puppeteer-core';
import { SocketClient } from '../../src/api/client.js';
import { EventHub } from '../../src/daemon/event-hub.js';
import { eventually } from '../support/eventually.js';
import { startFakeDaemon, type FakeDaemon } from '../support/fake-daemon.js';
import { FakePool } from '../support/fake-pool.js';
import { useScratch } from '../support/mounts.js';
import type { DeviceName } from '../../src/format/ids.js';

const CHROMIUM = '/usr/bin/chromium';
const MIB = 2 ** 20;

/** A status alone, with a host that is not the address's. */
function statusFor(url: string, host: string): Promise<number> {
  return new Promise((resolve, reject) => {
    request(url, { headers: { host } }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    })
      .once('error', reject)
      .end();
  });
}

describe('the page', () => {
  const scratch = useScratch();
  let fake: FakeDaemon;
  let client: SocketClient;

  before(() => {
    if (!existsSync('dist/page/page.js')) execFileSync('npm', ['run', '--silent', 'build:page']);
  });

  beforeEach(async () => {
    fake = await startFakeDaemon(scratch.current.at('root'), {
      pool: new FakePool(),
      events: new EventHub(),
    });
    client = new SocketClient(fake.socket);
    await client.call('device.create', { name: 'debian', kind: 'image' });
    await client.call('device.create', { name: 'web', kind: 'container', origin: 'debian', quota: 2 ** 30 });
    await fake.pool.set('debian' as DeviceName, {
      mapped: 300 * MIB,
      exclusive: 100 * MIB,
      shared: 200 * MIB,
    });
    await fake.pool.set('web' as DeviceName, { mapped: 220 * MIB, exclusive: 20 * MIB, shared: 200 * MIB });
  });

  afterEach(() => fake.daemon.stop('the test is over'));

  it('is opened once, told where it is, moved where it should be, and changes nothing', async () => {
    const { url } = await client.call('ui.open', {});
    assert.match(url, /^http:\/\/127\.0\.0\.1:\d+\/$/);
    assert.deepEqual(await client.call('ui.open', {}), { url });
    const answer = await fetch(url);
    assert.match(answer.headers.get('content-security-policy') ?? '', /default-src 'none'/);
    assert.equal((await fetch(`${url}v1/stop`, { method: 'POST' })).status, 404);
    assert.equal((await fetch(`${url}../package.json`)).status, 404);
    assert.equal(await statusFor(url, 'thinfuse.example'), 403, 'a name that leads here');
    const { url: moved } = await client.call('ui.open', { listen: '0' });
    assert.notEqual(moved, url);
    await assert.rejects(fetch(url));
    const { port } = new URL(moved);
    await assert.rejects(client.call('ui.open', { listen: port }), { code: 'busy' });
    assert.equal((await fetch(moved)).status, 200, 'it stays where it was');
    await assert.rejects(client.call('ui.open', { listen: 'nowhere' }), { code: 'invalid-argument' });
  });

  it('asks for a token beyond this machine', async () => {
    const { url } = await client.call('ui.open', { listen: '0.0.0.0:0' });
    const at = new URL(url);
    at.hostname = '127.0.0.1';
    const token = at.searchParams.get('token');
    assert.ok(token !== null && token.length >= 24);
    const state = new URL('/api/state', at);
    assert.equal((await fetch(state)).status, 401);
    assert.equal((await fetch(`${state.href}?token=${token.slice(1)}x`)).status, 401);
    assert.equal((await fetch(state, { headers: { authorization: `Bearer ${token}` } })).status, 200);
    const first = await fetch(at, { redirect: 'manual' });
    assert.equal(first.headers.get('location'), '/');
    const cookie = first.headers.get('set-cookie') ?? '';
    assert.match(cookie, /HttpOnly; SameSite=Strict/);
    assert.equal((await fetch(state, { headers: { cookie: cookie.split(';')[0]! } })).status, 200);
  });

  describe('in Chromium', () => {
    let browser: Browser;
    let page: Page;

    before(async function () {
      if (!existsSync(CHROMIUM)) {
        console.log('      skipped: no /usr/bin/chromium (Debian: apt-get install chromium)');
        this.skip();
      }
      browser = await puppeteer.launch({
        executablePath: CHROMIUM,
        args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'],
      });
    });

    after(() => (browser as Browser | undefined)?.close());

    it('draws the pool, tells of devices by key and by click, in both modes, and asks nobody else', async () => {
      const { url } = await client.call('ui.open', {});
      page = await browser.newPage();
      const wrong: string[] = [];
      const asked = new Set<string>();
      page.on('console', (message) => wrong.push(message.text()));
      page.on('pageerror', (error) => wrong.push(String(error)));
      page.on('request', (sent) => asked.add(new URL(sent.url()).origin));
      await page.setViewport({ width: 1200, height: 800 });
      await page.goto(url);
      await page.waitForSelector('#device dl');
      const text = async (of: string): Promise<string> => String(await page.evaluate(of));
      const told = (): Promise<string> => text("document.querySelector('#device').textContent");
      assert.match(await told(), /^base/);
      await page.focus('#lineage');
      await page.keyboard.press('ArrowDown');
      assert.match(await told(), /^debian.*gives back 100 MiB; one device came from it/);
      await page.keyboard.press('ArrowDown');
      assert.match(await told(), /^web.*1\.0 GiB.*gives back 20\.0 MiB/);
      const labels = async (): Promise<string[]> =>
        (
          await text("[...document.querySelectorAll('#lineage svg text')].map((each) => each.textContent)")
        ).split(',');
      assert.deepEqual((await labels()).sort(), ['base', 'debian', 'web']);
      await page.keyboard.press('Home');
      const box = (await (await page.$('#lineage'))!.boundingBox())!;
      await page.mouse.click(box.x + 60, box.y + box.height * 0.6);
      assert.match(await told(), /^web/, 'the third row');
      assert.match(await text("document.querySelector('#space').ariaLabel"), /120 MiB exclusive/);
      assert.match(await text("document.querySelector('#summary').textContent"), /3 devices, 0 mounted/);
      for (const id of ['space', 'use', 'io']) assert.ok(await page.$(`#${id} svg path`), id);
      const ink = (): Promise<string> => text('getComputedStyle(document.body).backgroundColor');
      const light = await ink();
      await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
      assert.notEqual(await ink(), light);
      const fits = `[...document.querySelectorAll('.chart')].every((chart) => {
        const drawn = chart.querySelector('svg').getBoundingClientRect();
        return drawn.width > 300 && drawn.height > 100 && Math.abs(drawn.width - chart.clientWidth) <= 1;
      })`;
      assert.equal(await text(fits), 'true', 'the charts keep their sizes');
      const marks = (
        await text(
          "[...document.querySelectorAll('#io svg text')].map(({ textContent }) => textContent).filter((each) => each.endsWith('/s'))",
        )
      ).split(',');
      assert.deepEqual([...new Set(marks)], marks, 'no two marks of an axis have one label');
      await page.setViewport({ width: 700, height: 800 });
      await eventually('the charts follow the window', async () => (await text(fits)) === 'true');
      await client.call('device.create', { name: 'fresh', kind: 'snapshot', origin: 'web' });
      await eventually('the page shows a new device', async () => (await labels()).includes('fresh'));
      assert.deepEqual([...asked], [new URL(url).origin]);
      assert.deepEqual(wrong, []);
      await page.close();
    });
  });
});
