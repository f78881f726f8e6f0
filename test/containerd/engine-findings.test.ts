import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { readEngineConfig } from '../../src/containerd/engine-config.js';
import { engineFindings } from '../../src/containerd/engine-findings.js';
import type { HostFinding } from '../../src/host/host-finding.js';
import { useScratch } from '../support/mounts.js';

const ROOT = '/var/lib/thinfuse';
const CONTRIB = path.resolve(import.meta.dirname, '../../contrib/containerd');
const PLUGIN = `[proxy_plugins.thinfuse]\ntype = "snapshot"\naddress = "${ROOT}/snapshotter.sock"\n`;

describe('what a containerd needs for a pool', () => {
  const scratch = useScratch();

  async function examine(text: string, answering = true): Promise<readonly HostFinding[]> {
    const file = scratch.current.at('config.toml');
    await writeFile(file, text);
    const config = await readEngineConfig(file);
    return engineFindings(config, {
      root: ROOT,
      space: `${ROOT}/space`,
      answers: () => Promise.resolve(answering),
    });
  }

  /** What is missing, each as its need and subject. */
  function missing(findings: readonly HostFinding[]): readonly string[] {
    return findings
      .filter(({ state }) => state === 'missing')
      .map(({ need, subject }) => `${need} ${subject}`);
  }

  for (const [name, lacks] of [
    ['config-1.6.toml', ['optional thinfuse: capabilities', 'optional differ']],
    ['config-1.7.toml', []],
    ['config-2.toml', []],
  ] as const)
    it(`finds all that there is in contrib/containerd/${name}`, async () => {
      assert.deepEqual(missing(await examine(await readFile(path.join(CONTRIB, name), 'utf8'))), lacks);
    });

  it('says that none of the plugins is the pool, and how to write one', async () => {
    const findings = await examine(
      'version = 2\n[proxy_plugins.stargz]\ntype = "snapshot"\naddress = "/run/stargz.sock"\n',
    );
    assert.deepEqual(missing(findings), [
      ...['required proxy plugin', 'optional CRI: snapshotter', 'optional differ'],
    ]);
    assert.match(findings.find(({ subject }) => subject === 'proxy plugin')?.message ?? '', /proxy_plugins/);
  });

  it('knows a snapshotter of the pool by its socket, whatever its name', async () => {
    const findings = await examine(
      `version = 2\n[proxy_plugins.kata]\ntype = "snapshot"\naddress = "unix://${ROOT}/snapshotter-kata.sock"\n`,
    );
    assert.equal(findings.find(({ subject }) => subject === 'kata: address')?.state, 'ok');
  });

  it('says that nobody answers', async () => {
    assert.ok(missing(await examine(`version = 2\n${PLUGIN}`, false)).includes('required thinfuse: address'));
  });

  it('refuses what the snapshotter refuses, and a version without these names', async () => {
    const text = `${PLUGIN}capabilities = ["remap-ids", "rebase"]\nspace = "x"\n`;
    assert.deepEqual(missing(await examine(text)).slice(0, 4), [
      'required version',
      'advised thinfuse: space',
      'advised thinfuse: exports.root',
      'required thinfuse: capabilities',
    ]);
  });

  it('says which settings are at the place of another version', async () => {
    const old = `[plugins."io.containerd.grpc.v1.cri".containerd]\nsnapshotter = "thinfuse"\n`;
    assert.ok(missing(await examine(`version = 3\n${PLUGIN}${old}`)).includes('required CRI: snapshotter'));
    assert.ok(!missing(await examine(`version = 2\n${PLUGIN}${old}`)).includes('required CRI: snapshotter'));
  });

  it('says that pulls through the transfer service have no platform to unpack for', async () => {
    const service = '[[plugins."io.containerd.transfer.v1.local".unpack_config]]\nsnapshotter = "thinfuse"\n';
    for (const text of [PLUGIN, `${PLUGIN}${service}`])
      assert.ok(missing(await examine(`version = 3\n${text}`)).includes('advised transfer service'));
    const whole = `version = 3\n${PLUGIN}${service}platform = "linux"\n`;
    assert.ok(!missing(await examine(whole)).includes('advised transfer service'));
  });

  it('says who writes the layers of a commit, and that somebody has to be behind the pool', async () => {
    const differ = `[proxy_plugins.blocks]\ntype = "diff"\naddress = "${ROOT}/snapshotter.sock"\n`;
    const service = '[plugins."io.containerd.service.v1.diff-service"]\ndefault = ';
    for (const [text, need] of [
      ['', 'optional differ'],
      [differ, 'advised differ'],
      [`${differ}${service}["walking"]`, 'advised differ'],
      [`${differ}${service}["blocks"]`, 'required differ'],
      [`${differ}${service}["walking", "blocks"]`, 'required differ'],
      [`${differ}${service}["blocks", "walking"]`, undefined],
    ]) {
      const found = missing(await examine(`version = 2\n${PLUGIN}${text ?? ''}`));
      assert.equal(
        found.find((each) => each.endsWith(' differ')),
        need,
      );
    }
    assert.ok(missing(await examine(`version = 2\n${differ}`, false)).includes('required blocks: address'));
  });

  it('reads what is imported, and the last word counts', async () => {
    await writeFile(scratch.current.at('b.toml'), PLUGIN.replace('snapshotter.sock', 'snapshotter-b.sock'));
    const findings = await examine(`version = 2\nimports = ["?.toml"]\n${PLUGIN}`);
    assert.equal(
      findings.find(({ subject }) => subject === 'thinfuse: address')?.message,
      `${ROOT}/snapshotter-b.sock`,
    );
  });

  it('tells a file that is none', async () => {
    await assert.rejects(examine('version = = 2'), /is no TOML: /);
    await assert.rejects(readEngineConfig(scratch.current.at('none.toml')), { code: 'not-found' });
  });
});
