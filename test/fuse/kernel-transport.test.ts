import { KernelTransport } from '../../src/fuse/kernel-transport.js';
import { transportCompliance } from './transport-compliance.js';

transportCompliance('kernel', (mountPoint, directory) => new KernelTransport(mountPoint, directory));
