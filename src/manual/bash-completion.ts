import { globalOptions, type CommandFacts, type Completion, type OptionFacts } from './command-tree.js';

/**
 * A script for bash-completion's folder, or to be sourced. Everything that the program knows is written into
 * it, so that a key press starts no Node.js; device names are those of the files in the root's metadata
 * folder. Those files do not tell images from containers, so that where only one kind fits, the program is
 * asked.
 */
export function bashCompletion(tree: CommandFacts, name: string): string {
  const identifier = name.replaceAll('-', '_');
  const commands = allCommands(tree);
  const valued = [...new Set(commands.flatMap(({ options }) => options.filter(takesValue).flatMap(flagsOf)))];
  return `# bash completion for ${name}; made by: ${name} completion bash

_${identifier}_devices() {
  local root=\${1:-/var/lib/thinfuse} file
  for file in "$root"/metadata/*; do
    file=\${file##*/}
    case $file in '*' | deviceset-metadata | transaction-metadata) ;; *) printf '%s\\n' "$file" ;; esac
  done
}

_${identifier}_of_kind() {
  ${name} --root "\${root:-/var/lib/thinfuse}" ls -q --filter "kind=$1" 2>/dev/null || _${identifier}_devices "$root"
}

_${identifier}_values() {
  case $1 in
    devices) mapfile -t COMPREPLY < <(compgen -W "$(_${identifier}_devices "$root")" -- "$current") ;;
    images) mapfile -t COMPREPLY < <(compgen -W "$(_${identifier}_of_kind image)" -- "$current") ;;
    containers) mapfile -t COMPREPLY < <(compgen -W "$(_${identifier}_of_kind container)" -- "$current") ;;
    files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    folders) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    places)
      compopt -o filenames
      mapfile -t COMPREPLY < <(compgen -W "$(_${identifier}_devices "$root")" -- "$current"; compgen -d -- "$current")
      ;;
    nothing) ;;
    *)
      # A list goes on behind its last comma.
      local before=''
      [[ $current == *,* ]] && before=\${current%,*},
      mapfile -t COMPREPLY < <(compgen -P "$before" -W "$1" -- "\${current##*,}")
      ;;
  esac
}

_${identifier}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous='' root=\${THINFUSE_ROOT:-} path='' given=0 word index skip='' children options aliases
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    if [[ -n $skip ]]; then
      [[ $skip == --root ]] && root=$word
      skip=''
      continue
    fi
    case $word in
      ${valued.join(' | ')}) skip=$word ;;
      -*) ;;
      *)
        _${identifier}_children "$path"
        [[ " $aliases" == *" $word="* ]] && word=\${aliases#*" $word="} && word=\${word%% *}
        if [[ " $children " == *" $word "* ]]; then path="$path\${path:+ }$word"; else ((given++)); fi
        ;;
    esac
  done
  previous=$skip
  if [[ -n $previous ]]; then
    case "$path $previous" in
${optionCases(tree, commands, identifier)}
    esac
    return
  fi
  _${identifier}_children "$path"
  if [[ $current == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
  elif [[ -n $children ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$children" -- "$current")
  else
    case "$path $given" in
${argumentCases(commands, identifier)}
    esac
  fi
}

_${identifier}_children() {
  children='' options='' aliases=''
  case $1 in
${commands.map((command) => childrenCase(tree, command)).join('\n')}
  esac
}

complete -F _${identifier} ${name}
`;
}

function allCommands(tree: CommandFacts): readonly CommandFacts[] {
  return [tree, ...tree.commands.flatMap(allCommands)];
}

function takesValue({ value }: OptionFacts): boolean {
  return value !== undefined && !value.optional;
}

function flagsOf({ flags }: OptionFacts): readonly string[] {
  return flags;
}

function childrenCase(tree: CommandFacts, { path, commands, options }: CommandFacts): string {
  const own = path.length === 0 ? options : [...options, ...globalOptions(tree)];
  const flags = [...own.flatMap(flagsOf), '--help'].join(' ');
  const aliases = commands
    .flatMap((child) => child.aliases.map((alias) => ` ${alias}=${child.path.at(-1) ?? ''}`))
    .join('');
  return `    '${path.join(' ')}') children='${commands.map((child) => child.path.at(-1) ?? '').join(' ')}' options='${flags}' aliases='${aliases}' ;;`;
}

function optionCases(tree: CommandFacts, commands: readonly CommandFacts[], identifier: string): string {
  const row = (pattern: string, { completion }: OptionFacts): string =>
    `      ${pattern}) _${identifier}_values ${valuesWord(completion)} ;;`;
  const own = commands
    .slice(1)
    .flatMap(({ path, options }) =>
      options
        .filter(takesValue)
        .map((option) => row(option.flags.map((flag) => `'${path.join(' ')} ${flag}'`).join(' | '), option)),
    );
  const global = tree.options
    .filter(takesValue)
    .map((option) => row(option.flags.map((flag) => `*' ${flag}'`).join(' | '), option));
  return [...own, ...global].join('\n');
}

function argumentCases(commands: readonly CommandFacts[], identifier: string): string {
  return commands
    .flatMap(({ path, args }) =>
      args.map(
        ({ completion, variadic }, index) =>
          `      '${path.join(' ')} '${variadic ? '*' : String(index)}) _${identifier}_values ${valuesWord(completion)} ;;`,
      ),
    )
    .join('\n');
}

function valuesWord(completion: Completion): string {
  return completion.kind === 'choices' ? `'${completion.choices.join(' ')}'` : completion.kind;
}
