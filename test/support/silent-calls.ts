import { pino } from 'pino';
import { AdapterCalls } from '../../src/adapter/adapter-calls.js';

/** Calls whose log goes nowhere. */
export function silentCalls(): AdapterCalls {
  const log = pino({ level: 'silent' });
  return new AdapterCalls({ event: 'call', quiet: new Set(), expected: new Set(), log });
}
