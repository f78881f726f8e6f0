/**
 * `thinfuse/testing`: contract suites for implementers of a store or a transport. Exported names keep their
 * meaning within a major version.
 */
export { keyValueContract } from '../testing/key-value-contract.js';
export { transportContract } from '../testing/transport-contract.js';
export type { Transport, TransportFactory } from '../fuse/transport.js';
export type { ImageDirectory, ImageFile } from '../io/image-file.js';
export type { ContractRunner } from '../testing/contract-runner.js';
export type { KeyValue, KvOperation, KvRange, KvReader, KvSnapshot } from '../store/key-value.js';
