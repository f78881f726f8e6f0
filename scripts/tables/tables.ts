import { format } from 'prettier';
import { LAYERS } from '../../eslint.layers.js';
import {
  DISTRIBUTIONS,
  HOST_TOOLS,
  isHostTool,
  packagesOf,
  toolsOfNeed,
  type HostTool,
  type ToolNeed,
} from '../../src/config/host-tools.js';
import { outputDocument } from '../../src/outputs/outputs.js';
import { installCommand } from '../../src/config/missing-tool.js';

const TITLES = { debian: 'Debian, Ubuntu', fedora: 'Fedora', alpine: 'Alpine' };
/** Only a service manager asks for it, and brings it. */
const NOT_IN_IMAGE: readonly HostTool[] = ['systemd-notify'];
const COMMANDS = { required: 'required', optional: 'for some commands', advised: 'named in messages' };

/** Each file that holds something of the table of host tools, and how to renew its text. */
export const RENEWALS: Readonly<Record<string, (text: string) => Promise<string>>> = {
  'scripts/host-tools.tsv': () => Promise.resolve(lines()),
  Dockerfile: (text) => Promise.resolve(text.replace(/^ARG HOST_PACKAGES=.*$/m, imageArgument())),
  'README.md': (text) => renewBlock(text, packageTable()),
  'docs/output-v1.schema.json': outputSchemas,
  'docs/architecture.md': (text) => renewBlock(text, layerTable(), 'layers'),
  'docs/operations.md': async (text) =>
    renewBlock(await renewBlock(text, packageTable()), toolTable(), 'host-tools'),
};

/** The name has the version: another one is another file. */
function outputSchemas(): Promise<string> {
  return format(JSON.stringify(outputDocument()), { parser: 'json', printWidth: 110 });
}

/** For shells: tool, need, packages of Debian, Fedora and Alpine, what for; a line each, tabs between. */
function lines(): string {
  return Object.keys(HOST_TOOLS)
    .filter(isHostTool)
    .map((name) => {
      const { need, purpose, ...packages } = HOST_TOOLS[name];
      return [name, need, ...DISTRIBUTIONS.map((distribution) => packages[distribution]), purpose].join('\t');
    })
    .map((line) => `${line}\n`)
    .join('');
}

function imageArgument(): string {
  const tools = [...toolsOfNeed('required'), ...toolsOfNeed('optional'), ...toolsOfNeed('advised')];
  const packages = packagesOf(
    tools.filter((name) => !NOT_IN_IMAGE.includes(name)),
    'debian',
  );
  return `ARG HOST_PACKAGES="${packages.join(' ')}"`;
}

/** How to install what is required, and what is only for some. */
function packageTable(): string {
  const rows = DISTRIBUTIONS.map((distribution) => {
    const required = packagesOf(toolsOfNeed('required'), distribution);
    const optional = packagesOf(toolsOfNeed('optional'), distribution).filter(
      (name) => !required.includes(name),
    );
    return `| ${TITLES[distribution]} | \`${installCommand(toolsOfNeed('required'), distribution) ?? ''}\` | \`${optional.join(' ')}\` |`;
  });
  return ['| | required | for some commands |', '| --- | --- | --- |', ...rows].join('\n');
}

function toolTable(): string {
  const needs = ['required', 'optional', 'advised'] as const satisfies readonly ToolNeed[];
  const rows = needs.flatMap((need) =>
    toolsOfNeed(need).map((name) => {
      const { purpose, debian, fedora, alpine } = HOST_TOOLS[name];
      return `| \`${name}\` | ${COMMANDS[need]} | ${purpose} | ${debian} | ${fedora} | ${alpine} |`;
    }),
  );
  return [
    '| tool | | what for | Debian | Fedora | Alpine |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
  ].join('\n');
}

function layerTable(): string {
  const rows = Object.entries(LAYERS).map(([layer, { knows, imports }]) => {
    const names = imports.map((name) => `\`${name}\``).join(', ');
    return `| \`${layer}\` | ${knows} | ${names} |`;
  });
  return ['| layer | what it knows | imports |', '| --- | --- | --- |', ...rows].join('\n');
}

/** Between `<!-- NAME -->` and `<!-- end of NAME -->`. */
async function renewBlock(text: string, block: string, name = 'host-packages'): Promise<string> {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- end of ${name} -->`];
  const from = text.indexOf(begin);
  const to = text.indexOf(end);
  if (from < 0 || to < from) throw new Error(`there is no ${begin} before ${end}`);
  const pretty = await format(block, { parser: 'markdown' });
  return `${text.slice(0, from)}${begin}\n\n${pretty}\n${text.slice(to)}`;
}
