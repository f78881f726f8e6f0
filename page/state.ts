/** What the daemon tells the page. */
export type { UiState, UiDevice, UiHistory, UiEvent } from '../src/api/ui.js';

/** Bytes, as people read them. */
export function size(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  let value = bytes;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit] ?? ''}`;
}

/** A colour of the style sheet, which follows the system's light or dark mode. */
export function colour(name: 'ink' | 'faint' | 'line' | 'card' | 'accent' | 'bad'): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

export const isDark = matchMedia('(prefers-color-scheme: dark)');

export function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (found === null) throw new Error(`the page has no ${id}`);
  return found;
}
