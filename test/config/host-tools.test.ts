import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { RENEWALS } from '../../scripts/tables/tables.js';
import { HOST_TOOLS, isHostTool, packagesOf, toolsOfNeed } from '../../src/config/host-tools.js';
import { distributionOf, installCommand, missingTool } from '../../src/config/missing-tool.js';

const TOP = path.resolve(import.meta.dirname, '../..');
const read = (name: string): string => readFileSync(path.join(TOP, name), 'utf8');

function filesBelow(folder: string, extension: string): readonly string[] {
  return readdirSync(path.join(TOP, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(extension))
    .map((name) => path.join(folder, name));
}

const SPAWNING = new Set(['spawn', 'spawnSync', 'execFile', 'execFileSync', 'exec', 'execSync']);

/** What of a file starts programs: each call's first argument. */
function* startedIn(source: ts.SourceFile, names: ReadonlySet<string>): Generator<ts.Expression> {
  const pending: ts.Node[] = [source];
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    const [first] = ts.isCallExpression(node) ? node.arguments : [];
    if (ts.isCallExpression(node) && first !== undefined && names.has(calledName(node.expression)))
      yield first;
    ts.forEachChild(node, (child) => void pending.push(child));
  }
}

/** `run` of `exec.run(…)` only where the thing before it is an Exec by its name. */
function calledName(called: ts.Expression): string {
  if (ts.isIdentifier(called)) return called.text;
  if (!ts.isPropertyAccessExpression(called) || called.name.text !== 'run') return '';
  return /exec$/i.test(called.expression.getText()) ? 'exec.run' : '';
}

/** A parameter of the file that the compiler holds to the table. */
function isTyped(source: ts.SourceFile, name: string): boolean {
  return new RegExp(`\\b${name}: HostTool\\b`).test(source.text);
}

function problemsOf(file: string, names: ReadonlySet<string>): readonly string[] {
  const source = ts.createSourceFile(file, read(file), ts.ScriptTarget.ES2023, true);
  return [...startedIn(source, names)]
    .filter((first) => {
      if (ts.isStringLiteralLike(first)) return !isHostTool(first.text);
      if (first.getText() === 'process.execPath') return false;
      return !(ts.isIdentifier(first) && isTyped(source, first.text));
    })
    .map((first) => `${file}: ${first.getText()}`);
}

/** Strings and templates, as they are written. */
function textsOf(file: string): readonly string[] {
  const texts: string[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)) texts.push(node.getText().slice(1));
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile(file, read(file), ts.ScriptTarget.ES2023, true));
  return texts;
}

describe('the table of host tools', () => {
  for (const [name, renew] of Object.entries(RENEWALS))
    it(`is what ${name} has (npm run tables writes it)`, async () => {
      const text = read(name);
      assert.equal(await renew(text), text);
    });

  it('has every program that thinfuse starts', () => {
    const names = new Set([...SPAWNING, 'exec.run']);
    // A variable that reaches Exec.run is held to the table by its type.
    // docker-credential-NAME: the user's configuration names it, and its failure names the program.
    const ofUser = 'src/remote/docker-credentials.ts: tool';
    // What the contract suites run is the tests' own, as all that is in test/.
    const ofSuites = 'src/testing/served-mount.ts: command';
    const untyped = (problem: string): boolean =>
      problem !== ofUser &&
      problem !== ofSuites &&
      (/: ['"`]/.test(problem) || !problem.includes('src/host/'));
    assert.deepEqual(
      filesBelow('src', '.ts').flatMap((file) => problemsOf(file, names).filter(untyped)),
      [],
    );
  });

  it('notices one that is missing', () => {
    const source = ts.createSourceFile(
      'x.ts',
      `this.#exec.run('mkfs.btrfs', []);`,
      ts.ScriptTarget.ES2023,
      true,
    );
    const [first] = startedIn(source, new Set(['exec.run']));
    assert(first !== undefined && ts.isStringLiteralLike(first));
    assert(!isHostTool(first.text));
  });

  it('has every program that the scripts in TypeScript start', () => {
    const literal = (problem: string): boolean => /: ['"`][^/$]*['"`]$/.test(problem);
    assert.deepEqual(
      filesBelow('scripts', '.ts')
        .flatMap((file) => problemsOf(file, new Set([...SPAWNING, 'run', 'startServer'])))
        .filter(literal),
      [],
    );
  });

  it('has every command that the shell scripts ask for', () => {
    for (const file of filesBelow('scripts', '.sh'))
      for (const [, words = ''] of read(file).matchAll(/^[^#\n]*\bneed_commands ((?:[^\n;)}]|\\\n)*)/gm))
        for (const word of words.split(/[\s\\]+/).filter((text) => /^[\w/.-]+$/.test(text)))
          assert(isHostTool(path.basename(word)), `${file}: ${word}`);
  });

  it('has every command that a message tells people to run', () => {
    // After words that announce a command, before what looks like its arguments.
    const told = /(?:\b(?:with|try|run|first|then): |[(`]|, or )([a-z][\w.-]+) (?=-|\/|\$\{|[a-z])/g;
    const commands =
      /^(?:mkfs\.\w+|\w+fs|ls\w+|dm\w+|mount|umount|fuser|modprobe|losetup|grep|skopeo|thin_\w+)$/;
    const found = new Set<string>();
    for (const file of filesBelow('src', '.ts'))
      for (const text of textsOf(file))
        for (const [, name = ''] of text.matchAll(told)) if (commands.test(name)) found.add(name);
    for (const name of ['modprobe', 'losetup', 'fuser', 'skopeo']) assert(found.has(name), name);
    assert.deepEqual(
      [...found].filter((name) => !isHostTool(name)),
      [],
    );
  });

  it('is the only place that names packages', () => {
    const elsewhere = filesBelow('src', '.ts').filter(
      (file) => /(?:apt-get|dnf) install|apk add/.test(read(file)) && !file.endsWith('missing-tool.ts'),
    );
    assert.deepEqual(elsewhere, []);
  });

  it('has a package and a purpose of each', () => {
    for (const [name, { debian, fedora, alpine, purpose }] of Object.entries(HOST_TOOLS)) {
      for (const text of [debian, fedora, alpine, purpose]) assert.match(text, /^\S(?:[^\t\n|]*\S)?$/, name);
      assert.notEqual(debian, '-', name);
    }
  });

  it('has in scripts/test.sh what tests ask for by name, so that they run on a bare machine', () => {
    const installed = [...read('scripts/test.sh').matchAll(/^ *need_commands (.*)$/gm)]
      .flatMap(([, names = '']) => names.split(' '))
      .filter(isHostTool);
    const packages = packagesOf([...installed, ...toolsOfNeed('required')], 'debian');
    const missing = filesBelow('test', '.ts').flatMap((file) =>
      [...read(file).matchAll(/requireMounts\(\[([^\]]*)\]/g)]
        .flatMap(([, list = '']) => [...list.matchAll(/'([^']+)'/g)].map(([, name = '']) => name))
        .filter(isHostTool)
        // npm comes with Node.js.
        .filter((name) => name !== 'npm' && !packages.includes(HOST_TOOLS[name].debian))
        .map((name) => `${file}: ${name}`),
    );
    assert.deepEqual(missing, []);
  });
});

describe('installCommand', () => {
  it("names each package once, in the distribution's own words", () => {
    assert.equal(
      installCommand(['mkfs.xfs', 'xfs_io', 'losetup'], 'debian'),
      'apt-get install mount xfsprogs',
    );
    assert.equal(
      installCommand(['mkfs.xfs', 'xfs_io', 'losetup'], 'fedora'),
      'dnf install util-linux xfsprogs',
    );
    assert.equal(installCommand(['xfs_io', 'losetup'], 'alpine'), 'apk add util-linux xfsprogs-extra');
    assert.equal(installCommand(['systemd-notify'], 'alpine'), undefined);
    assert.deepEqual(packagesOf([], 'debian'), []);
  });

  it('knows the distribution from os-release', () => {
    assert.equal(distributionOf('NAME="Debian GNU/Linux"\nID=debian\n'), 'debian');
    assert.equal(distributionOf('ID=ubuntu\nID_LIKE=debian\n'), 'debian');
    assert.equal(distributionOf('ID="rocky"\nID_LIKE="rhel centos fedora"\n'), 'fedora');
    assert.equal(distributionOf('ID=alpine\n'), 'alpine');
    assert.equal(distributionOf('ID=arch\nNAME="like fedora"\n'), 'debian');
  });

  it('is part of the error for a tool that is not there', () => {
    const known = missingTool('getfattr');
    assert.match(known.message, /^getfattr was not found; install it: .+ attr$/);
    assert.equal(known.details['package'], 'attr');
    assert.match(missingTool('lbzip2').message, /^lbzip2 was not found; install it and see/);
  });
});
