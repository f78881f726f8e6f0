import { LEVEL } from './level.js';
import { NBDFUSE } from './nbdfuse.js';
import { PLAIN } from './plain.js';
import { QSD, QSD_CACHED, QSD_TARGETS } from './qsd.js';
import { REFLINK } from './reflink.js';
import type { Target } from './target.js';
import { LIBFUSE_TARGETS, THINFUSE_TARGETS } from './thinfuse.js';

/** What runs unless `--only` says otherwise. */
export const USUAL_TARGETS: readonly Target[] = [
  ...THINFUSE_TARGETS,
  ...QSD_TARGETS,
  NBDFUSE,
  REFLINK,
  PLAIN,
];

export const ALL_TARGETS: readonly Target[] = [...USUAL_TARGETS, ...LIBFUSE_TARGETS, QSD_CACHED, LEVEL];

/** Of `--figures`. */
export const FIGURE_TARGETS: readonly Target[] = [...THINFUSE_TARGETS, QSD, PLAIN, LEVEL];
