import type { Handlers } from '../dispatcher.js';
import type { Service } from '../service.js';
import { daemonOperations } from './daemon-operations.js';
import { deviceOperations } from './device-operations.js';
import { metadataOperations } from './metadata-operations.js';
import { mountOperations } from './mount-operations.js';
import { poolOperations } from './pool-operations.js';

/** Every operation over one service. */
export function createHandlers(service: Service): Handlers {
  return {
    ...daemonOperations(service),
    ...poolOperations(service),
    ...metadataOperations(service),
    ...deviceOperations(service),
    ...mountOperations(service),
  };
}
