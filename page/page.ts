import { HistoryCharts } from './history.js';
import { Lineage } from './lineage.js';
import { SpaceBar } from './space-bar.js';
import { element, isDark, size, type UiDevice, type UiEvent, type UiHistory, type UiState } from './state.js';

/** Milliseconds between two looks. */
const LOOK = 5000;
const HISTORY = 60_000;

const space = new SpaceBar();
const history = new HistoryCharts();
const lineage = new Lineage(showDevice);
const find = element('find') as HTMLInputElement;
let state: UiState | undefined;
let past: UiHistory | undefined;

find.addEventListener('change', () => {
  lineage.choose(find.value);
});
isDark.addEventListener('change', draw);
void look();
void lookBack();

async function look(): Promise<void> {
  try {
    const [now, events] = await Promise.all([ask<UiState>('api/state'), ask<UiEvent[]>('api/events')]);
    state = now;
    draw();
    showEvents(events);
    element('trouble').textContent = troubleOf(now);
  } catch (error) {
    element('trouble').textContent = `the daemon does not answer: ${String(error)}`;
  }
  setTimeout(() => void look(), LOOK);
}

async function lookBack(): Promise<void> {
  try {
    past = await ask<UiHistory>('api/history');
    history.show(past);
  } catch {
    // The other look tells of it.
  }
  setTimeout(() => void lookBack(), HISTORY);
}

async function ask<T>(what: string): Promise<T> {
  const answer = await fetch(what, { headers: { accept: 'application/json' } });
  if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
  // The serving side is the same program.
  return (await answer.json()) as T;
}

function draw(): void {
  if (state === undefined) return;
  const { pool, devices } = state;
  element('summary').textContent =
    `${state.root} · ${pool.name} · ${pool.kind} · ${pool.mode} · ${devices.length} devices, ${devices.filter(({ mountPoint }) => mountPoint !== undefined).length} mounted · ${state.version}`;
  element('names').replaceChildren(
    ...devices.map(({ name }) => {
      const option = document.createElement('option');
      option.value = name;
      return option;
    }),
  );
  space.show(state);
  lineage.show(devices);
  if (past !== undefined) history.show(past);
}

function troubleOf({ pool, figures }: UiState): string {
  const { host } = figures;
  if (pool.mode !== 'rw') return `the pool is ${pool.mode}`;
  if (pool.needsCheck) return 'the pool needs a check';
  return host !== undefined && host.free < host.floor ? "the host's disk is nearly full" : '';
}

function showDevice(device: UiDevice, descendants: number): void {
  const { traffic } = device;
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['Kind', `${device.kind}${device.deleted ? ', being removed' : ''}`],
    ['Origin', device.originName],
    ['Made', new Date(device.createdAt).toLocaleString()],
    ['Size', `${size(device.size)}, ${device.filesystem}`],
    ['Mapped', size(device.mapped)],
    ['Shared', size(device.shared)],
    ['Quota', device.quota === undefined ? undefined : size(device.quota)],
    ['Mounted', device.mountPoint ?? 'no'],
    ['Loop', device.loop],
    ['Image', device.path],
    [
      'I/O',
      traffic === undefined
        ? undefined
        : `${size(traffic.readBytes)} read, ${size(traffic.writtenBytes)} written since it is active`,
    ],
    [
      'Removing it',
      device.kind === 'base'
        ? 'cannot be'
        : `gives back ${size(device.exclusive)}${descendants === 0 ? '' : `; ${descendants === 1 ? 'one device came from it, and keeps what it shares' : `${descendants} devices came from it, and keep what they share`}`}`,
    ],
  ];
  const title = document.createElement('h2');
  title.textContent = device.name;
  const list = document.createElement('dl');
  for (const [name, value] of facts) {
    if (value === undefined) continue;
    const term = document.createElement('dt');
    const detail = document.createElement('dd');
    term.textContent = name;
    detail.textContent = value;
    list.append(term, detail);
  }
  const shown = element('device');
  // Read out only where it says something else.
  if (shown.textContent !== `${title.textContent}${list.textContent}`) shown.replaceChildren(title, list);
}

function showEvents(events: readonly UiEvent[]): void {
  element('events').replaceChildren(
    ...events.toReversed().map(({ level, text }) => {
      const item = document.createElement('li');
      item.className = level;
      item.textContent = text;
      return item;
    }),
  );
}
