import type { Command } from 'commander';
import { DEFAULT_ROOT } from '../config/defaults.js';
import { rootLayout, type RootLayout } from '../config/root-layout.js';

/** What every command has from the global options. */
export interface Context {
  readonly layout: RootLayout;
  readonly json: boolean;
}

interface GlobalOptions {
  readonly root: string;
  readonly json?: boolean;
}

export function contextOf(command: Command): Context {
  const { root, json } = command.optsWithGlobals<GlobalOptions>();
  return { layout: rootLayout(root), json: json === true };
}

/** How a user would say this command's root: nothing for the default one. */
export function rootFlag({ layout }: Context): string {
  return layout.root === DEFAULT_ROOT ? '' : ` --root ${layout.root}`;
}
