import { settingsAt, texts, type EngineConfig } from './engine-config.js';
import type { Found, PoolPlaces } from './engine-findings.js';

const SERVICE = 'io.containerd.service.v1.diff-service';
const WALKING = 'walking';

/**
 * Whether containerd asks the pool for layers of what changed, and another differ behind it for what that
 * leaves out, unpacking among it. @param names proxy plugins of type `diff` that are the pool's
 */
export function differFindings(
  { plugins }: EngineConfig,
  { root }: PoolPlaces,
  names: readonly string[],
): readonly Found[] {
  const subject = 'differ';
  const order = texts(settingsAt(plugins, SERVICE)['default']);
  const place = `[plugins."${SERVICE}"]`;
  const [name] = names;
  if (name === undefined)
    return [
      {
        subject,
        need: 'optional',
        state: 'missing',
        message: `a commit of a container reads its image and all of its files; for those that changed alone, from containerd 1.7.4 on, add [proxy_plugins.thinfuse-diff] with type = "diff" and address = "${root}/snapshotter.sock", and default = ["thinfuse-diff", "${WALKING}"] in ${place}`,
      },
    ];
  const at = order.findIndex((each) => names.includes(each));
  if (at < 0)
    return [
      {
        subject,
        need: 'advised',
        state: 'missing',
        message: `containerd does not ask ${name}; write default = ["${name}", "${WALKING}"] in ${place}`,
      },
    ];
  if (order.lastIndexOf(WALKING) < at)
    return [
      {
        subject,
        need: 'required',
        state: 'missing',
        message: `no differ behind ${name} unpacks images, and thinfuse does not; write default = ["${name}", "${WALKING}"] in ${place}`,
      },
    ];
  return [{ subject, need: 'optional', state: 'ok', message: order.join(', ') }];
}
