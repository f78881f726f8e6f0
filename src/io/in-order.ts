/** One after the other; at once as long as none has to wait. */
export function inOrder(steps: readonly (() => Promise<void> | undefined)[]): Promise<void> | undefined {
  for (const [index, step] of steps.entries()) {
    const waiting = step();
    if (waiting !== undefined) return waiting.then(() => inOrder(steps.slice(index + 1)));
  }
  return undefined;
}
