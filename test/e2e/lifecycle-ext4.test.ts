import { lifecycle } from './lifecycle.js';

lifecycle('ext4', { transport: 'fuse-native' });
