import { lifecycle } from './lifecycle.js';

lifecycle('xfs', { data: true });
