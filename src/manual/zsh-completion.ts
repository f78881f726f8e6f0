import {
  globalOptions,
  type ArgumentFacts,
  type CommandFacts,
  type Completion,
  type OptionFacts,
} from './command-tree.js';

/**
 * A function for a folder of zsh's fpath, under the name `_thinfuse`. Device names as in bash-completion.ts.
 */
export function zshCompletion(tree: CommandFacts, name: string): string {
  const identifier = name.replaceAll('-', '_');
  return `#compdef ${name}
# zsh completion for ${name}; made by: ${name} completion zsh

_${identifier}_devices() {
  local -a devices=($root/metadata/*(N:t))
  devices=(\${devices:#(deviceset|transaction)-metadata})
  compadd -a devices
}

_${identifier}_of_kind() {
  local names
  if names="$(${name} --root "\${root:-/var/lib/thinfuse}" ls -q --filter "kind=$1" 2>/dev/null)"; then
    local -a devices=(\${(f)names})
    compadd -a devices
  else
    _${identifier}_devices
  fi
}

${functionsOf(tree, tree, identifier).join('\n\n')}

if [[ $funcstack[1] == _${identifier} ]]; then _${identifier} "$@"; else compdef _${identifier} ${name}; fi
`;
}

/** A command's function and those of the commands below it. */
function functionsOf(tree: CommandFacts, command: CommandFacts, identifier: string): readonly string[] {
  const options = command.path.length === 0 ? command.options : [...command.options, ...globalOptions(tree)];
  const specs = [...options.map((option) => optionSpec(option, identifier)), helpSpec()];
  const name = functionName(command, identifier);
  if (command.commands.length === 0)
    return [
      `${name}() {\n  _arguments -s \\\n${indented([...specs, ...command.args.map((argument) => argumentSpec(argument, identifier))])}\n}`,
    ];
  const rows = command.commands.map(
    (child) => `    ${quoted(`${child.path.at(-1) ?? ''}:${child.summary.replaceAll(':', '\\:')}`)}`,
  );
  const root =
    command.path.length > 0
      ? ''
      : `  local root=\${THINFUSE_ROOT:-/var/lib/thinfuse} index
  for ((index = 1; index < $#words; index++)); do
    [[ $words[index] == --root ]] && root=$words[index+1]
  done
`;
  const own = `${name}() {
${root}  local curcontext=$curcontext state line
  local -a commands=(
${rows.join('\n')}
  )
  _arguments -C -s \\
${indented([...specs, quoted('1:command:->command'), quoted('*::argument:->argument')])}
  case $state in
    command) _describe command commands ;;
    argument) (( $+functions[${name}_\${line[1]//-/_}] )) && ${name}_\${line[1]//-/_} ;;
  esac
}`;
  return [own, ...command.commands.flatMap((child) => functionsOf(tree, child, identifier))].concat(
    command.commands.flatMap((child) => aliasFunctions(child, identifier)),
  );
}

function aliasFunctions(command: CommandFacts, identifier: string): readonly string[] {
  return command.aliases.map((alias) => {
    const path = [...command.path.slice(0, -1), alias];
    return `${functionName({ ...command, path }, identifier)}() { ${functionName(command, identifier)} "$@"; }`;
  });
}

function functionName({ path }: CommandFacts, identifier: string): string {
  return `_${[identifier, ...path].join('_').replaceAll('-', '_')}`;
}

function indented(specs: readonly string[]): string {
  return specs.map((spec) => `    ${spec}`).join(' \\\n');
}

function helpSpec(): string {
  return quoted('(-h --help)'.concat('--help[show help]'));
}

function optionSpec({ flags, description, value, completion }: OptionFacts, identifier: string): string {
  const text = `[${description.replace(/[[\]\\]/g, '\\$&')}]`;
  const tail =
    value === undefined
      ? ''
      : `:${value.optional ? ':' : ''}${plainName(value.name)}:${action(completion, identifier)}`;
  const [only = ''] = flags;
  if (flags.length === 1) return quoted(`*${only}${text}${tail}`);
  return `{${flags.map((flag) => quoted(`*${flag}`)).join(',')}}${quoted(`${text}${tail}`)}`;
}

function argumentSpec({ name, required, variadic, completion }: ArgumentFacts, identifier: string): string {
  const position = variadic ? '*:' : required ? ':' : '::';
  return quoted(`${position}${plainName(name)}:${action(completion, identifier)}`);
}

function action(completion: Completion, identifier: string): string {
  switch (completion.kind) {
    case 'choices':
      return `(${completion.choices.join(' ')})`;
    case 'devices':
      return `_${identifier}_devices`;
    case 'images':
      return `_${identifier}_of_kind image`;
    case 'containers':
      return `_${identifier}_of_kind container`;
    case 'places':
      return `_alternative "devices:device:_${identifier}_devices" "folders:folder:_files -/"`;
    case 'files':
      return '_files';
    case 'folders':
      return '_files -/';
    case 'nothing':
      return ' ';
  }
}

function plainName(name: string): string {
  return name.replace(/[^A-Za-z0-9 ]/g, ' ');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
