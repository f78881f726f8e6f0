import assert from 'node:assert/strict';
import { readSync, writeSync } from 'node:fs';
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads';
import { systemErrorCode } from '../errors/thin-error.js';
import { ThreadImage } from '../io/thread-image.js';
import { collectGarbage } from '../threads/collect-garbage.js';
import { FlushRhythm } from '../threads/flush-rhythm.js';
import { nap } from '../threads/request-epochs.js';
import type { IoThreadData, IoThreadMessage, NodeNews } from './io-thread-protocol.js';
import {
  OUT_HEADER_SIZE,
  Opcode,
  WRITE_DATA_OFFSET,
  echoOutHeader,
  isDurableWrite,
  nodeIdOf,
  opcodeOf,
  putWritten,
  readRange,
} from './kernel-protocol.js';

/** Bytes of a reply to a WRITE. */
const WRITE_REPLY = OUT_HEADER_SIZE + 8;
/**
 * While mount(8) runs, the descriptor belongs to no filesystem yet and reads fail with EPERM. Milliseconds.
 */
const BEFORE_MOUNT = 2;
/** Milliseconds; a shorter one costs more than it is. */
const SHORTEST_PAUSE = 0.05;

/**
 * Entry of an I/O thread: blocks in read(2) of /dev/fuse, answers READ and WRITE of active devices by itself,
 * and hands everything else to the pool thread. Never turns its event loop, so that news of devices are
 * looked for when a request needs them.
 */
class IoThread {
  readonly #data: IoThreadData;
  readonly #port: MessagePort;
  readonly #request: Buffer;
  readonly #reply: Buffer;
  readonly #images = new Map<number, ThreadImage>();
  readonly #rhythm: FlushRhythm;
  /** Bytes of the cache that it knows. */
  #frames: number | undefined;

  constructor(data: IoThreadData, port: MessagePort) {
    this.#data = data;
    this.#port = port;
    this.#rhythm = new FlushRhythm(data.rhythm);
    this.#request = Buffer.allocUnsafeSlow(data.requestSize);
    this.#reply = Buffer.allocUnsafeSlow(data.requestSize);
  }

  run(): void {
    while (Atomics.load(this.#data.stopping, 0) === 0) {
      const length = this.#next();
      if (length === undefined) return;
      const nodeId = nodeIdOf(this.#request);
      this.#noteRhythm();
      const image = this.#imageOf(nodeId);
      if (image === undefined || !this.#serve(image)) this.#handOver(length);
      else if (opcodeOf(this.#request) === Opcode.WRITE) this.#flushAhead(image);
      if (image?.shouldAsk() === true) this.#post({ kind: 'ask', nodeId });
    }
  }

  /** Bytes of the next request; undefined at the end of the connection. */
  #next(): number | undefined {
    for (;;) {
      try {
        return readSync(this.#data.fd, this.#request);
      } catch (error) {
        switch (systemErrorCode(error)) {
          // Interrupted before it was read; nothing was lost.
          case 'ENOENT':
          case 'EINTR':
          case 'EAGAIN':
            break;
          case 'EPERM':
            nap(BEFORE_MOUNT);
            break;
          case 'ENODEV':
          case 'ECONNABORTED':
            this.#post({ kind: 'disconnected' });
            return undefined;
          default:
            this.#post({ kind: 'fault', message: String(error) });
            this.#post({ kind: 'disconnected' });
            return undefined;
        }
        if (Atomics.load(this.#data.stopping, 0) !== 0) return undefined;
      }
    }
  }

  #imageOf(nodeId: number): ThreadImage | undefined {
    const opcode = opcodeOf(this.#request);
    if (opcode !== Opcode.READ && opcode !== Opcode.WRITE && opcode !== Opcode.FSYNC) return undefined;
    const known = this.#images.get(nodeId);
    if (known?.isCurrent === true) return known;
    this.#readNews();
    const image = this.#images.get(nodeId);
    return image?.isCurrent === true ? image : undefined;
  }

  #readNews(): void {
    let hasOther = false;
    for (let news = receiveMessageOnPort(this.#port); news !== undefined;) {
      const { nodeId, image } = news.message as NodeNews;
      if (image === undefined) this.#images.delete(nodeId);
      else {
        this.#images.set(nodeId, new ThreadImage(image, this.#data.thread));
        const { chunks } = image.plane;
        const frames = chunks.kind === 'cache' ? chunks.frames.byteLength : 0;
        hasOther ||= this.#frames !== undefined && this.#frames !== frames;
        this.#frames = frames;
      }
      news = receiveMessageOnPort(this.#port);
    }
    if (hasOther) collectGarbage();
  }

  #serve(image: ThreadImage): boolean {
    if (opcodeOf(this.#request) === Opcode.FSYNC) {
      if (!this.#flush(image)) return false;
      this.#answer(OUT_HEADER_SIZE);
      return true;
    }
    const { offset, size } = readRange(this.#request);
    // What reaches over the end is clipped or refused by the rules for that, which are the pool thread's.
    if (offset + size > image.size) return false;
    if (opcodeOf(this.#request) === Opcode.READ) {
      if (OUT_HEADER_SIZE + size > this.#reply.length) return false;
      if (!image.read(offset, this.#reply, OUT_HEADER_SIZE, size)) return false;
      this.#answer(OUT_HEADER_SIZE + size);
      return true;
    }
    if (!image.write(offset, this.#request, WRITE_DATA_OFFSET, size)) return false;
    this.#slowDown(image, size);
    if (isDurableWrite(this.#request) && !this.#flush(image)) {
      this.#handOver(WRITE_DATA_OFFSET, 'written');
      return true;
    }
    putWritten(this.#reply, size);
    this.#answer(WRITE_REPLY);
    return true;
  }

  /** A commit that the pool needs soon is asked for before the thread waits for it. */
  #slowDown(image: ThreadImage, bytes: number): void {
    const pause = image.pauseAfter(bytes);
    if (pause < SHORTEST_PAUSE) return;
    if (image.shouldAsk()) this.#post({ kind: 'ask', nodeId: nodeIdOf(this.#request) });
    nap(pause);
  }

  /** False: the pool thread must do it. */
  #flush(image: ThreadImage): boolean {
    const { flushing, mostFlushing } = this.#data;
    try {
      return Atomics.add(flushing, 0, 1) < mostFlushing ? image.flush() : image.awaitFlush();
    } finally {
      Atomics.sub(flushing, 0, 1);
    }
  }

  #noteRhythm(): void {
    switch (opcodeOf(this.#request)) {
      case Opcode.WRITE:
        this.#rhythm.write();
        break;
      case Opcode.FSYNC:
        this.#rhythm.flush();
        break;
      default:
        this.#rhythm.other();
    }
  }

  /** While the answer to the write is on its way, and the fsync that follows, the disk works already. */
  #flushAhead(image: ThreadImage): void {
    if (!this.#rhythm.expectsFlush || isDurableWrite(this.#request)) return;
    const { flushing, mostFlushing } = this.#data;
    try {
      if (Atomics.add(flushing, 0, 1) < mostFlushing) image.flushAhead();
    } finally {
      Atomics.sub(flushing, 0, 1);
    }
  }

  #answer(length: number): void {
    if (Atomics.load(this.#data.muted, 0) !== 0) return;
    echoOutHeader(this.#reply, length, this.#request);
    try {
      writeSync(this.#data.fd, this.#reply, 0, length);
    } catch (error) {
      // ENOENT: the request was interrupted or the connection ended, so no program waits for the answer.
      const code = systemErrorCode(error);
      if (code !== 'ENOENT' && code !== 'ENODEV') this.#post({ kind: 'fault', message: String(error) });
    }
  }

  #handOver(length: number, kind: 'request' | 'written' = 'request'): void {
    const request = Uint8Array.from(this.#request.subarray(0, length));
    this.#port.postMessage({ kind, request } satisfies IoThreadMessage, [request.buffer]);
  }

  #post(message: IoThreadMessage): void {
    this.#port.postMessage(message);
  }
}

assert(parentPort !== null, 'an I/O thread is a worker');
new IoThread(workerData as IoThreadData, parentPort).run();
