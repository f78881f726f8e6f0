import { ByteReader, ByteWriter } from './byte-cursor.js';
import { nodeId, type DeviceId, type NodeId } from './ids.js';

/**
 * pending-delete := name:text n:u32 { node:u32 } × n
 *
 * A removed device whose tree is being given back. The nodes are a stack: each owes one reference, which the
 * walk drops; at first it holds the root alone.
 */
export interface PendingDelete {
  readonly id: DeviceId;
  readonly name: string;
  readonly stack: readonly NodeId[];
}

export function packPendingDelete(pending: PendingDelete): Uint8Array {
  const to = new ByteWriter().text(pending.name).u32(pending.stack.length);
  for (const node of pending.stack) to.u32(node);
  return to.finish();
}

/** @throws ThinError damaged, naming `path` */
export function unpackPendingDelete(id: DeviceId, body: Uint8Array, path: string): PendingDelete {
  const from = new ByteReader(body, path);
  const name = from.text();
  const stack: NodeId[] = [];
  for (let left = from.u32(); left > 0; left--) stack.push(nodeId(from.u32()));
  from.finish();
  return { id, name, stack };
}
