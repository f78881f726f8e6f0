export type SpaceName = 'data' | 'metadata';

/** Events of a pool's space. Sizes in bytes. */
export type SpaceEvent =
  /** In use crossed that many percent upwards; told again only after it fell below (lvmthin(7)). */
  | {
      readonly kind: 'threshold';
      readonly space: SpaceName;
      readonly percent: number;
      readonly used: number;
      readonly total: number;
    }
  /**
   * Free fell to the low-water mark; told again only after it rose above (dm-thin.c, `check_low_water_mark`).
   */
  | { readonly kind: 'low-water'; readonly space: SpaceName; readonly free: number; readonly mark: number }
  | {
      readonly kind: 'extended';
      readonly space: SpaceName;
      readonly from: number;
      readonly to: number;
      /** By the threshold, or on request. */
      readonly by: 'autoextend' | 'user';
    }
  | { readonly kind: 'extend-failed'; readonly space: SpaceName; readonly reason: string }
  /** The disk of the pool's folder has less than the pool must keep free there, or enough again. */
  | { readonly kind: 'host-disk'; readonly state: 'short' | 'enough'; readonly free: number };
