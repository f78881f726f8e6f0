export interface Branch {
  readonly children: readonly this[];
}

/** A node and the branches to draw before its name, as lsblk draws them. */
export interface Drawn<T> {
  readonly node: T;
  readonly branches: string;
}

/** Every node, parents first. Without recursion: a snapshot of a snapshot can be thousands deep. */
export function drawBranches<T extends Branch>(roots: readonly T[]): readonly Drawn<T>[] {
  const drawn: Drawn<T>[] = [];
  const waiting = roots.map((node) => ({ node, branches: '', below: '' })).reverse();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { node, branches, below } = next;
    drawn.push({ node, branches });
    for (const [at, child] of [...node.children.entries()].reverse()) {
      const last = at === node.children.length - 1;
      waiting.push({
        node: child,
        branches: `${below}${last ? '└─' : '├─'}`,
        below: `${below}${last ? '  ' : '│ '}`,
      });
    }
  }
  return drawn;
}
