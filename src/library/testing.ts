/**
 * `thinfuse/testing`: what implementers of a store test it with. What is exported here keeps its meaning
 * within a major version.
 */
export { keyValueContract } from '../testing/key-value-contract.js';
export type { ContractRunner } from '../testing/contract-runner.js';
export type { KeyValue, KvOperation, KvRange, KvReader, KvSnapshot } from '../store/key-value.js';
