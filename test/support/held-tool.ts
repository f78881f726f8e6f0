import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { eventually } from './eventually.js';
import { run, type Scratch } from './mounts.js';

/** A host tool that stands still before it begins, for whoever finds tools by `env`. */
export class HeldTool {
  readonly env: NodeJS.ProcessEnv;
  readonly #folder: string;
  readonly #tool: string;

  private constructor(folder: string, tool: string) {
    this.#folder = folder;
    this.#tool = tool;
    this.env = { PATH: `${folder}/bin:${process.env['PATH'] ?? ''}` };
  }

  /** @param pattern of the arguments, as `case` in sh has it, with which the tool is held */
  static async make(scratch: Scratch, tool: string, pattern: string): Promise<HeldTool> {
    const folder = await scratch.folder(`held-${tool}`);
    await mkdir(path.join(folder, 'bin'));
    const real = (await run('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${tool}`])).trim();
    const script = path.join(folder, 'bin', tool);
    await writeFile(
      script,
      `#!/bin/sh
case "$*" in ${pattern})
  if [ -e ${folder}/hold ]; then
    echo $$ >> ${folder}/held
    while [ -e ${folder}/hold ]; do sleep 0.05; done
  fi ;;
esac
exec ${real} "$@"
`,
    );
    await chmod(script, 0o755);
    scratch.defer(() => rm(path.join(folder, 'hold'), { force: true }));
    return new HeldTool(folder, tool);
  }

  /** From now on. */
  async hold(): Promise<void> {
    await writeFile(path.join(this.#folder, 'hold'), '');
  }

  /** Resolves when one stands still. */
  async held(): Promise<void> {
    await eventually(`${this.#tool} is held`, async () => (await this.#pids()).length > 0);
  }

  /** Lets them go on, and resolves when all have ended, however they did. */
  async release(): Promise<void> {
    await rm(path.join(this.#folder, 'hold'));
    await eventually(`each ${this.#tool} that was held has ended`, async () => {
      for (const pid of await this.#pids()) if (await isAlive(pid)) return false;
      return true;
    });
  }

  async #pids(): Promise<readonly number[]> {
    const text = await readFile(path.join(this.#folder, 'held'), 'utf8').catch(() => '');
    return text.split('\n').filter(Boolean).map(Number);
  }
}

/** One that nobody has noticed the end of is no more. */
export async function isAlive(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  return text !== '' && !text.slice(text.lastIndexOf(')')).startsWith(') Z');
}
