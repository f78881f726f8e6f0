import assert from 'node:assert/strict';
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { removeHandover, handoverHead, hasHandover, readHandover } from '../../src/daemon/handover.js';
import { HandoverEntries, type HandoverChange } from '../../src/daemon/handover-entries.js';
import { packCount, packLine } from '../../src/daemon/handover-lines.js';
import { HandoverFile } from '../../src/daemon/handover-file.js';
import { StandingHandover } from '../../src/daemon/standing-handover.js';
import { requireResend } from '../../src/daemon/supervisor.js';
import { ThinError } from '../../src/errors/thin-error.js';
import { until } from '../../src/async/until.js';
import { useScratch } from '../support/mounts.js';

const MOUNT = {
  name: 'web',
  target: '/pool/mnt/web',
  loop: '/dev/loop7',
  request: {
    image: '/pool/dev/docker-8:1-42-web',
    target: '/pool/mnt/web',
    filesystem: 'xfs' as const,
    readOnly: false,
    mountOptions: '',
    xfsNospaceMaxRetries: 0,
  },
  readOnly: false,
  bounded: true,
  madeTarget: true,
  activated: true,
  pinned: true,
  viewers: [[4711, 2]] as [number, number][],
};
const OPEN = { node: 2, name: 'docker-8:1-42-web', unique: '4713', durable: false };
const CONNECTION = {
  maxIo: 2 ** 20,
  nodes: [{ id: 2, name: 'docker-8:1-42-web' }],
  open: [{ handle: 1, ...OPEN }],
};
const SERVED = { connection: CONNECTION, active: ['web'], mounts: [MOUNT] };

function fail(error: unknown): never {
  throw error;
}

describe('what a daemon leaves to the next one', () => {
  const scratch = useScratch();

  it('is there until it is forgotten, and is what was so last', async () => {
    const layout = { root: await scratch.current.folder() };
    assert.equal(hasHandover(layout), false);
    const standing = new StandingHandover(layout, fail);
    const served: (typeof SERVED)[] = [];
    standing.begin(() => served[0]);
    standing.note(['active', 'web', true]);
    assert.equal(hasHandover(layout), false);
    served.push(SERVED);
    standing.note(['active', 'web', true]);
    const first = {
      ...{ supervisor: process.ppid, ...SERVED },
      ...{ frozen: [], unfinished: [], passing: [], attaching: [] },
    };
    assert.deepEqual(readHandover(layout), first);
    assert.deepEqual(readHandover(layout), first);

    standing.note(['node', 3, 'docker-8:1-42-db']);
    standing.note(['open', 1, null]);
    standing.note(['active', 'web', null]);
    standing.note(['active', 'db', true]);
    standing.note(['unfinished', '/pool/dev/db', 'db']);
    standing.note(['mount', 'web', { ...MOUNT, pinned: false }]);
    const then = {
      ...first,
      connection: {
        ...CONNECTION,
        nodes: [...CONNECTION.nodes, { id: 3, name: 'docker-8:1-42-db' }],
        open: [],
      },
      active: ['db'],
      unfinished: ['/pool/dev/db'],
      passing: ['db'],
      mounts: [{ ...MOUNT, pinned: false }],
    };
    assert.deepEqual(readHandover(layout), then);
    await standing.whileFrozen('/pool/dev/db', () =>
      standing.whileAttaching('/pool/dev/web', () => {
        assert.deepEqual(readHandover(layout), {
          ...then,
          frozen: ['/pool/dev/db'],
          unfinished: ['/pool/dev/db', '/pool/dev/web'],
          attaching: ['/pool/dev/web'],
        });
        return Promise.resolve();
      }),
    );
    standing.fix();
    standing.note(['active', 'late', true]);
    assert.deepEqual(readHandover(layout), then);

    removeHandover(layout);
    assert.equal(readHandover(layout), undefined);
  });

  it('has no unfinished mount that is finished, and no line that was not ended', async () => {
    const layout = { root: await scratch.current.folder() };
    const standing = new StandingHandover(layout, fail);
    standing.begin(() => ({ ...SERVED, mounts: [] }));
    standing.note(['unfinished', MOUNT.request.image, 'web']);
    standing.note(['mount', 'web', MOUNT]);
    await appendFile(`${layout.root}/handover.json`, '["active","half');
    const left = readHandover(layout)!;
    assert.deepEqual([left.unfinished, left.passing, left.mounts], [[], [], [MOUNT]]);
    assert.deepEqual(left.active, ['web']);
    standing.end();
    assert.equal(hasHandover(layout), false);
  });

  it('is understood as a daemon of before left it', async () => {
    const layout = { root: await scratch.current.folder() };
    const before = { version: 2, supervisor: 4712, ...SERVED, frozen: ['/pool/dev/x'], unfinished: [] };
    await writeFile(`${layout.root}/handover.json`, JSON.stringify(before));
    assert.deepEqual(readHandover(layout), before);
  });

  it('is whole with any bit of it flipped, and with its last line torn, and nothing where it was cut', async () => {
    const layout = { root: await scratch.current.folder() };
    const path = `${layout.root}/handover.json`;
    const standing = new StandingHandover(layout, fail);
    standing.begin(() => ({ ...SERVED, mounts: [] }));
    standing.note(['unfinished', MOUNT.request.image, 'web']);
    const before = readHandover(layout);
    const early = await readFile(path);
    const start = early.length;
    standing.note(['mount', 'web', MOUNT]);
    const left = readHandover(layout)!;
    const bytes = await readFile(path);
    for (let bit = 0; bit < 8 * bytes.length; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3]! ^= 1 << (bit & 7);
      await writeFile(path, flipped);
      assert.deepEqual(readHandover(layout), left, `bit ${bit}`);
    }
    const { length } = packCount(0);
    for (let end = bytes.length; end >= start; end--) {
      const once = start + (bytes.length - start - '\n\n\n'.length) / 2;
      // The writer died in the midst of it.
      await writeFile(path, Buffer.concat([early.subarray(0, length), bytes.subarray(length, end)]));
      assert.deepEqual(readHandover(layout), end < once ? before : left, `up to ${end}`);
    }
    // Cut by something else.
    for (let end = bytes.length; end >= 0; end--) {
      const once = start + (bytes.length - start - '\n\n\n'.length) / 2;
      await writeFile(path, bytes.subarray(0, end));
      assert.deepEqual(readHandover(layout), end < once ? undefined : left, `cut at ${end}`);
    }
    standing.end();
  });

  it('is understood as a daemon without checksums left it', async () => {
    const layout = { root: await scratch.current.folder() };
    const lines = [JSON.stringify({ version: 3, supervisor: 7, maxIo: 4096 }), '["active","web",true]'];
    await writeFile(`${layout.root}/handover.json`, `${lines.join('\n')}\n["active","half`);
    const { supervisor, active } = readHandover(layout)!;
    assert.deepEqual([supervisor, active], [7, ['web']]);
  });

  it('is nothing where another version left it, or it is damaged', async () => {
    const layout = { root: await scratch.current.folder() };
    const head = JSON.stringify({ version: 3, supervisor: 1, maxIo: 4096 });
    const numbered = (...lines: readonly string[]): string =>
      lines.map((line, number) => packLine(number, line)).join('');
    const texts = [
      numbered(head, '["unheard-of",1,2]'),
      numbered(head, '["active","a",true]', '["active","b",true]').replaceAll('"a"', '"c"'),
      ...['', '{', '{}', JSON.stringify({ version: 1, ...SERVED })],
      ...[
        `${head}\n["active","web"]\n`,
        `${head}\n["unheard-of",1,2]\n`,
        `${head}\nx\n["active","web",true]\n`,
      ],
    ];
    for (const text of texts) {
      await writeFile(`${layout.root}/handover.json`, text);
      assert.equal(readHandover(layout), undefined, text);
    }
  });

  it('costs a line for each change, and is written anew where most lines are out of date', async () => {
    const layout = { root: await scratch.current.folder() };
    const path = `${layout.root}/handover.json`;
    const entries = new HandoverEntries();
    const head = handoverHead({ supervisor: 1, maxIo: 4096 });
    for (let id = 0; id < 1000; id++) entries.apply(['active', `device-${id}`, true]);
    const file = new HandoverFile(path, head, entries, { spare: 10, onFailure: fail });
    const change = (one: HandoverChange): void => {
      entries.apply(one);
      file.append(one);
    };
    const lines = async (): Promise<number> =>
      ((await readFile(path, 'utf8')).split('\n').length - 1) / 3 - 1;
    assert.equal(await lines(), 1001);
    const before = (await readFile(path)).length;
    change(['active', 'one-more', true]);
    const line = '["active","one-more",true]';
    assert.equal((await readFile(path)).length - before, packLine(1001, line).length);

    for (let id = 0; id < 990; id++) change(['active', `device-${id}`, null]);
    // While the file is written anew, in turns.
    for (let id = 0; id < 5; id++) {
      await new Promise((resolve) => setImmediate(resolve));
      change(['active', `later-${id}`, true]);
    }
    assert.ok(await until(async () => (await lines()) < 100, { limitMs: 60_000, pollMs: 5 }));
    change(['active', 'last', true]);
    const { active } = readHandover(layout)!;
    assert.deepEqual([...active].sort(), [...entries.state(4096).active].sort());
    assert.equal(active.length, 10 + 1 + 5 + 1);
    file.close();
  });
});

describe('a supervisor', () => {
  it('needs a kernel that asks again', () => {
    for (const kernel of ['6.9.0', '6.18.44-fc', '7.0-rc1']) requireResend(kernel);
    for (const kernel of ['6.8.12', '5.15.0-generic', '4.19'])
      assert.throws(
        () => {
          requireResend(kernel);
        },
        (error) =>
          error instanceof ThinError && error.code === 'unsupported' && error.message.includes(kernel),
      );
  });
});
