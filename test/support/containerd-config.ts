/**
 * What a containerd of a test is told: the folders that it writes to are the scratch folder's, so that
 * another one on this host is not met.
 * @param at a path in that folder
 * @param snapshotters its proxy snapshotters, each with its socket
 */
export function containerdConfig(
  at: (name: string) => string,
  snapshotters: Readonly<Record<string, string>> = {},
): string {
  const plugins = Object.entries(snapshotters).map(
    ([name, socket]) => `[proxy_plugins.${name}]\n  type = "snapshot"\n  address = "${socket}"\n`,
  );
  return `version = 2
root = "${at('root-of-containerd')}"
state = "${at('state')}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${at('containerd.sock')}"
[ttrpc]
  address = "${at('ttrpc.sock')}"
${plugins.join('')}`;
}
