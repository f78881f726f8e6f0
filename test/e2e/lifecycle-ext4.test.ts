import { lifecycle } from './lifecycle.js';

lifecycle('ext4');
