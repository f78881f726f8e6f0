import assert from 'node:assert/strict';
import { mkdir, open, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ThinError } from '../../src/errors/thin-error.js';
import { ChildProcessExec, toolError, type Exec, type ExecResult } from '../../src/host/exec.js';
import { LOOP_LIMITS, LoopDevices } from '../../src/host/loop-devices.js';
import { eventually } from '../support/eventually.js';
import { requireMounts, run, tryRun, useScratch } from '../support/mounts.js';

const MIB = 1024 * 1024;

class ScriptedExec implements Exec {
  readonly calls: string[][] = [];
  readonly #answers: (string | Error)[];

  constructor(answers: (string | Error)[]) {
    this.#answers = answers;
  }

  run(tool: string, args: readonly string[]): Promise<ExecResult> {
    this.calls.push([tool, ...args]);
    const answer = this.#answers.shift() ?? '';
    return typeof answer === 'string'
      ? Promise.resolve({ code: 0, stdout: answer, stderr: '' })
      : Promise.reject(answer);
  }
}

const said = (text: string): ThinError => toolError('losetup', [], 1, `losetup: ${text}`);
const coded = (code: string) => (error: unknown) => error instanceof ThinError && error.code === code;

describe('LoopDevices without a kernel', () => {
  const scratch = useScratch();
  let sys: string;
  beforeEach(async () => {
    sys = await scratch.current.folder('sys');
  });

  async function device(name: string, files: Record<string, string>): Promise<void> {
    await mkdir(path.join(sys, name, 'loop'), { recursive: true });
    for (const [file, text] of Object.entries(files)) await writeFile(path.join(sys, name, file), text);
  }

  it('lists what has a backing file, by number', async () => {
    await device('loop10', {
      'loop/backing_file': '/x/a b\n',
      'loop/dio': '1\n',
      'loop/autoclear': '0\n',
      ro: '1\n',
    });
    await device('loop2', {
      'loop/backing_file': '/gone (deleted)\n',
      'loop/dio': '0\n',
      'loop/autoclear': '1\n',
      ro: '0\n',
    });
    await device('loop3', {});
    await device('vda', {});
    assert.deepEqual(await new LoopDevices(new ScriptedExec([]), LOOP_LIMITS, sys).list(), [
      {
        device: '/dev/loop2',
        backingFile: '/gone',
        deleted: true,
        directIo: false,
        readOnly: false,
        autoclear: true,
      },
      {
        device: '/dev/loop10',
        backingFile: '/x/a b',
        deleted: false,
        directIo: true,
        readOnly: true,
        autoclear: false,
      },
    ]);
  });

  it('tries again when another process takes the device first', async () => {
    const exec = new ScriptedExec([
      said('x: failed to set up loop device: Device or resource busy'),
      '/dev/loop4\n',
    ]);
    assert.equal((await new LoopDevices(exec, LOOP_LIMITS, sys).attach('/x')).device, '/dev/loop4');
    assert.equal(exec.calls.length, 2);
  });

  it('gives a race up after its time', async () => {
    const busy = said('Device or resource busy');
    const exec = new ScriptedExec([busy, busy]);
    const loops = new LoopDevices(exec, { ...LOOP_LIMITS, attachMs: 0 }, sys);
    await assert.rejects(loops.attach('/x'), coded('tool-failed'));
    assert.equal(exec.calls.length, 1);
  });

  it('does without direct I/O and without a sector size where the kernel refuses, and says so', async () => {
    const exec = new ScriptedExec([
      said('/dev/loop4: set direct io failed: Invalid argument'),
      '/dev/loop4\n',
    ]);
    assert.deepEqual(await new LoopDevices(exec, LOOP_LIMITS, sys).attach('/x'), {
      device: '/dev/loop4',
      backingFile: '/x',
      directIo: false,
    });
    assert.deepEqual(exec.calls[1], ['losetup', '--find', '--show', '--', '/x']);
  });

  it('names the remedy where no loop device can be had', async () => {
    const exec = new ScriptedExec([said('cannot find an unused loop device: No such device')]);
    await assert.rejects(
      new LoopDevices(exec, LOOP_LIMITS, sys).attach('/x'),
      (error: unknown) => coded('missing-device')(error) && /modprobe loop.*--privileged/.test(String(error)),
    );
  });

  it('says that somebody still uses a device that does not go', async () => {
    await device('loop5', {
      'loop/backing_file': '/x/file\n',
      'loop/dio': '1\n',
      'loop/autoclear': '1\n',
      ro: '0\n',
    });
    const loops = new LoopDevices(new ScriptedExec(['']), { ...LOOP_LIMITS, settleMs: 0 }, sys);
    await assert.rejects(
      loops.detach('/dev/loop5', '/x/file'),
      (error: unknown) => coded('busy')(error) && /loop5.*\/x\/file/.test(String(error)),
    );
  });
});

describe('LoopDevices', () => {
  requireMounts();
  const scratch = useScratch();
  const loops = new LoopDevices(new ChildProcessExec());

  async function image(name: string, size = 4 * MIB): Promise<string> {
    const file = scratch.current.at(name);
    await (await open(file, 'w')).close();
    await truncate(file, size);
    return file;
  }

  it('attaches, finds, grows and detaches', async () => {
    const file = await image('a.img');
    const { device, directIo } = await loops.attach(file);
    assert.match(device, /^\/dev\/loop\d+$/);
    assert.equal((await loops.get(device))?.directIo, directIo);
    assert.deepEqual(
      (await loops.findByBackingFile(file)).map((loop) => loop.device),
      [device],
    );
    assert.equal(await loops.capacity(device), 4 * MIB);
    await truncate(file, 8 * MIB);
    await loops.setCapacity(device, 8 * MIB);
    assert.equal(await loops.capacity(device), 8 * MIB);
    assert.equal((await run('blockdev', ['--getss', device])).trim(), '512');
    await loops.detach(device, file);
    assert.equal(await loops.get(device), undefined);
    await loops.detach(device, file);
  });

  it('leaves a device alone that was another file’s before it could be detached', async () => {
    const [file, other] = [await image('first.img'), await image('second.img')];
    // Another test, too, may take the number when it is free: then once more.
    await eventually('the number is taken', async () => {
      const { device } = await loops.attach(file);
      const number = { isTaken: false };
      // Between the look and the detach, the device goes with its last user, and another program takes it.
      const overtaken = new LoopDevices({
        run: async (tool, args, options) => {
          await run('losetup', ['--detach', device]);
          number.isTaken = (await tryRun('losetup', [device, other])).code === 0;
          return new ChildProcessExec().run(tool, args, options);
        },
      });
      await overtaken.detach(device, file);
      if (!number.isTaken) return false;
      assert.equal((await loops.get(device))?.backingFile, other);
      await loops.detach(device, file);
      assert.equal((await loops.get(device))?.backingFile, other);
      await loops.detach(device, other);
      return true;
    });
  });

  it('attaches read-only, and without direct I/O when asked', async () => {
    const { device, backingFile, directIo } = await loops.attach(await image('ro.img'), {
      readOnly: true,
      directIo: false,
    });
    assert.equal(directIo, false);
    assert.equal((await loops.get(device))?.readOnly, true);
    await loops.detach(device, backingFile);
  });

  it('takes different devices for attaches at the same time', async () => {
    const files = await Promise.all(['p1', 'p2', 'p3', 'p4', 'p5', 'p6'].map((name) => image(name)));
    const attached = await Promise.all(files.map((file) => loops.attach(file)));
    assert.equal(new Set(attached.map(({ device }) => device)).size, files.length);
    await Promise.all(attached.map(({ device, backingFile }) => loops.detach(device, backingFile)));
  });

  it('knows a backing file that was unlinked', async () => {
    const file = await image('gone.img');
    const { device } = await loops.attach(file);
    await rm(file);
    assert.deepEqual(
      (await loops.findByBackingFile(file)).map((loop) => loop.deleted),
      [true],
    );
    await loops.detach(device, file);
  });

  it('says that a file is missing', async () => {
    await assert.rejects(loops.attach(scratch.current.at('nope')), coded('not-found'));
  });

  it('a device that is open elsewhere is busy, and goes with its last user', async () => {
    const { device, backingFile } = await loops.attach(await image('open.img'));
    const handle = await open(device, 'r');
    const quick = new LoopDevices(new ChildProcessExec(), { ...LOOP_LIMITS, settleMs: 100 });
    await assert.rejects(quick.detach(device, backingFile), coded('busy'));
    await handle.close();
    await loops.detach(device, backingFile);
    assert.equal(await loops.get(device), undefined);
  });

  it('refuses to set the capacity of a free device', async () => {
    await assert.rejects(loops.setCapacity('/dev/loop99999'), coded('not-found'));
  });
});
