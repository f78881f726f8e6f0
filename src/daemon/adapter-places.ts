import path from 'node:path';
import type { AdapterPlace } from '../adapter/pool-adapter.js';
import type { RootLayout } from '../config/root-layout.js';
import type { ActivatedSockets } from '../host/activated-sockets.js';
import { GrpcRelay } from '../relay/grpc-relay.js';
import { HttpRelay } from '../relay/http-relay.js';
import type { Relay } from '../relay/relay.js';
import { makePluginFolder } from '../volumes/plugin-folder.js';

/**
 * The sockets that adapters are reached on, absolute, in an order that a supervisor and its daemons share.
 */
export interface AdapterSockets {
  readonly snapshotters: readonly string[];
  readonly volumes: string | undefined;
}

/** Where a relay finds the daemon. Short, for `sun_path` holds the root's path too. */
export const INNER_SOCKET = /^inner-\d+\.sock$/;

function innerSockets({ snapshotters, volumes }: AdapterSockets, { root }: RootLayout): Map<string, string> {
  const all = [...snapshotters, ...(volumes === undefined ? [] : [volumes])];
  return new Map(all.map((socket, at) => [socket, path.join(root, `inner-${at}.sock`)]));
}

/** For the adapters of a daemon whose supervisor relays to it. `lost`: the supervisor has ended. */
export function placesBehindRelays(
  sockets: AdapterSockets,
  layout: RootLayout,
  lost: Promise<unknown>,
): (socket: string) => AdapterPlace {
  const inner = innerSockets(sockets, layout);
  return (socket) => {
    const at = inner.get(socket);
    return at === undefined ? { socket } : { socket, behind: { socket: at, lost } };
  };
}

/** For a daemon without a relay. Errors: invalid-argument. */
export function ownPlaces(
  { snapshotters, volumes }: AdapterSockets,
  activated: ActivatedSockets,
): (socket: string) => AdapterPlace {
  const all = [...snapshotters, ...(volumes === undefined ? [] : [volumes])];
  const places = new Map(all.map((socket) => [socket, { socket, descriptor: activated.take(socket) }]));
  activated.requireAllTaken();
  return (socket) => places.get(socket) ?? { socket };
}

/** A supervisor's, for the daemons that follow each other. Errors: invalid-argument. */
export function relaysFor(
  sockets: AdapterSockets,
  layout: RootLayout,
  activated: ActivatedSockets,
): readonly Relay[] {
  const relays = [...innerSockets(sockets, layout)].map(([socket, inner]) => {
    const place = { socket, descriptor: activated.take(socket) };
    if (socket !== sockets.volumes) return new GrpcRelay(place, inner);
    return new HttpRelay(place, inner, {
      who: 'a volume plugin',
      prepare: () => makePluginFolder(socket),
    });
  });
  activated.requireAllTaken();
  return relays;
}
