import { FuseNativeTransport } from '../../src/fuse/fuse-native-transport.js';
import { transportCompliance } from './transport-compliance.js';

transportCompliance('fuse-native', (mountPoint, directory) => new FuseNativeTransport(mountPoint, directory));
