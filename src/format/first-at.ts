/** The first of `count` places at which `is` holds, and it holds of all behind that; `count`: of none. */
export function firstAt(count: number, is: (at: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (is(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
