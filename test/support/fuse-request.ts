/** A request as the kernel would send it. */
export function request(
  opcode: number,
  header: { unique?: bigint; nodeId?: number; pid?: number } = {},
  body: Uint8Array = new Uint8Array(0),
): Buffer {
  const message = Buffer.alloc(40 + body.length);
  message.writeUInt32LE(message.length, 0);
  message.writeUInt32LE(opcode, 4);
  message.writeBigUInt64LE(header.unique ?? 1n, 8);
  message.writeBigUInt64LE(BigInt(header.nodeId ?? 1), 16);
  message.writeUInt32LE(header.pid ?? 0, 32);
  message.set(body, 40);
  return message;
}
