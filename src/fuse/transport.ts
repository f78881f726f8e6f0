import { endianness } from 'node:os';
import type { ConnectionState } from './connection.js';
import type { ImageDirectory } from '../io/image-file.js';

export type TransportKind = 'fuse-native' | 'kernel';

/**
 * A way for the kernel's FUSE to reach an `ImageDirectory`: mounts a folder and serves its files.
 *
 * Contract, kept by `transportContract` (testing/transport-contract.ts): files appear and go as the
 * directory says, without a remount; requests of 128 KiB at least; parallel requests; errors arrive as the
 * ThinError's errno; no request is left without an answer; unmount waits for requests in flight and leaves no
 * mount behind, also when files are open (lazily then).
 */
export interface Transport {
  readonly kind: TransportKind;
  readonly mountPoint: string;
  /** Whether FALLOCATE reaches `discard` and `writeZeroes`. */
  readonly supportsDiscard: boolean;
  /**
   * Errors: `missing-device` (no /dev/fuse), `missing-tool`, `permission`, `busy` (something is mounted
   * there), `io`.
   */
  mount(): Promise<void>;
  /** Idempotent. */
  unmount(): Promise<void>;
  /** With what another process could take the mount over; undefined where that cannot be. */
  connectionState?(): ConnectionState | undefined;
  /** As `connectionState`, and from now on nothing is answered. What was answered before has been done. */
  handOver?(): ConnectionState | undefined;
  /** Resolves when the mount has ended, by `unmount` or from outside (umount, fusectl abort). */
  readonly ended: Promise<void>;
}

/**
 * The fastest that can run here: the kernel's protocol is spoken in the machine's byte order, and this
 * program knows one.
 */
export function defaultTransport(): TransportKind {
  return endianness() === 'LE' ? 'kernel' : 'fuse-native';
}

export type TransportFactory = (mountPoint: string, directory: ImageDirectory) => Transport;
