// Lists the files of src/pool, src/store and src/metadata that have no test of their own, and ends with 1 if there is one.
// A file's own test lies in the same room below test/ and imports a value of the file.
// Two kinds of files need none: those without any function or method body (types and constants), and the entries of threads, which
// export nothing (the test of the module that starts the thread runs them).
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import ts from 'typescript';

const TOP = path.resolve(import.meta.dirname, '..');

async function parsed(file) {
  return ts.createSourceFile(
    file,
    await readFile(path.join(TOP, file), 'utf8'),
    ts.ScriptTarget.Latest,
    true,
  );
}

async function filesIn(folder) {
  const names = await readdir(path.join(TOP, folder));
  return names
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => `${folder}/${name}`);
}

/** The modules of which a test imports more than types, as paths below the top. */
function imported(test) {
  return test.statements.filter(ts.isImportDeclaration).flatMap(({ importClause, moduleSpecifier }) => {
    if (importClause === undefined || importClause.isTypeOnly) return [];
    const { namedBindings } = importClause;
    const isTypes =
      namedBindings !== undefined &&
      ts.isNamedImports(namedBindings) &&
      namedBindings.elements.every((one) => one.isTypeOnly);
    if (isTypes) return [];
    return [path.join(path.dirname(test.fileName), moduleSpecifier.text.replace(/\.js$/, '.ts'))];
  });
}

function hasBody(node) {
  return (ts.isFunctionLike(node) && node.body !== undefined) || ts.forEachChild(node, hasBody) === true;
}

function isExported(statement) {
  return (
    ts.isExportDeclaration(statement) ||
    statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword) === true
  );
}

for (const room of ['pool', 'store', 'metadata']) {
  const tests = await Promise.all((await filesIn(`test/${room}`)).map(parsed));
  const tested = new Set(tests.flatMap(imported));
  for (const file of await filesIn(`src/${room}`)) {
    if (tested.has(file)) continue;
    const source = await parsed(file);
    if (!hasBody(source) || !source.statements.some(isExported)) continue;
    console.log(file);
    process.exitCode = 1;
  }
}
