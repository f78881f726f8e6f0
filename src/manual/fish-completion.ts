import { globalOptions, type CommandFacts, type Completion, type OptionFacts } from './command-tree.js';

/**
 * Commands for fish's folder `completions`, under the name `thinfuse.fish`. Device names as in
 * bash-completion.ts.
 */
export function fishCompletion(tree: CommandFacts, name: string): string {
  const line = (...words: readonly string[]): string => ['complete', '-c', name, ...words].join(' ');
  return `# fish completion for ${name}; made by: ${name} completion fish

function __${name}_root
    set -l root /var/lib/thinfuse
    set -q THINFUSE_ROOT; and set root $THINFUSE_ROOT
    set -l words (commandline -opc)
    if set -l at (contains -i -- --root $words)
        set root $words[(math $at + 1)]
    end
    echo $root
end

function __${name}_of_kind
    ${name} --root (__${name}_root) ls -q --filter kind=$argv[1] 2>/dev/null; or __${name}_devices
end

function __${name}_devices
    set -l root (__${name}_root)
    for file in $root/metadata/*
        string match -qr '(deviceset|transaction)-metadata$' $file; or basename $file
    end
end

# The words that are no options and no value of --root, the first one by its own name.
function __${name}_words
    set -l words
    set -l skip 0
    for word in (commandline -opc)[2..]
        if test $skip -eq 1
            set skip 0
        else if test $word = --root
            set skip 1
        else if not string match -q -- '-*' $word
            set -a words $word
        end
    end
    set -l path
    for word in $words
        switch "$path $word"
${aliasCases(tree)}
        end
        set -a path $word
    end
    for word in $path
        echo $word
    end
end

# They begin with these.
function __${name}_in
    set -l words (__${name}_words)
    set -l last (count $argv)
    test (count $words) -ge $last; and test "$words[1..$last]" = "$argv"
end

# They are these.
function __${name}_at
    set -l words (__${name}_words)
    test "$words" = "$argv"
end

${[line('-f'), ...linesOf(tree, tree, name, line)].join('\n')}
`;
}

function aliasCases({ path, aliases, commands }: CommandFacts): string {
  const above = path.slice(0, -1).join(' ');
  const own = aliases.map(
    (alias) =>
      `            case ${quoted(`${above} ${alias}`)}\n                set word ${path.at(-1) ?? alias}`,
  );
  return [...own, ...commands.map(aliasCases).filter((text) => text !== '')].join('\n');
}

function linesOf(
  tree: CommandFacts,
  command: CommandFacts,
  name: string,
  line: (...words: readonly string[]) => string,
): readonly string[] {
  const within = ['-n', quoted([`__${name}_in`, ...command.path].join(' '))];
  const here = ['-n', quoted([`__${name}_at`, ...command.path].join(' '))];
  const children = command.commands.map((child) =>
    line(...here, '-a', quoted(child.path.at(-1) ?? ''), '-d', quoted(child.summary)),
  );
  const options = [...command.options, ...(command.path.length === 0 ? [] : globalOptions(tree))].map(
    (option) => line(...(command.path.length === 0 ? here : within), ...optionWords(option, name)),
  );
  const values = [...new Set(command.args.map(({ completion }) => valueWords(completion, name)))]
    .filter((words) => words.length > 0)
    .map((words) => line(...within, ...words));
  return [
    ...children,
    ...options,
    ...values,
    ...command.commands.flatMap((child) => linesOf(tree, child, name, line)),
  ];
}

function optionWords(
  { flags, description, value, completion }: OptionFacts,
  name: string,
): readonly string[] {
  return [
    ...flags.flatMap((flag) => (flag.startsWith('--') ? ['-l', flag.slice(2)] : ['-s', flag.slice(1)])),
    ...(value === undefined || value.optional ? [] : ['-x']),
    ...(value === undefined ? [] : valueWords(completion, name)),
    '-d',
    quoted(description),
  ];
}

function valueWords(completion: Completion, name: string): readonly string[] {
  switch (completion.kind) {
    case 'choices':
      return ['-a', quoted(completion.choices.join(' '))];
    case 'devices':
      return ['-a', quoted(`(__${name}_devices)`)];
    case 'images':
      return ['-a', quoted(`(__${name}_of_kind image)`)];
    case 'containers':
      return ['-a', quoted(`(__${name}_of_kind container)`)];
    case 'places':
      return ['-a', quoted(`(__${name}_devices) (__fish_complete_directories)`)];
    case 'files':
      return ['-a', quoted('(__fish_complete_path)')];
    case 'folders':
      return ['-a', quoted('(__fish_complete_directories)')];
    case 'nothing':
      return [];
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
