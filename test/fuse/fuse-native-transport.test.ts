import { FuseNativeTransport } from '../../src/fuse/fuse-native-transport.js';
import { testTransport } from './test-transport.js';

testTransport('fuse-native', (mountPoint, directory) => new FuseNativeTransport(mountPoint, directory));
