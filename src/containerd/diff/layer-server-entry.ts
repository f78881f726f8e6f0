import { toThinError } from '../../errors/thin-error.js';
import { ChildProcessExec } from '../../host/exec.js';
import type { LayerReply, LayerTask } from './layer-task.js';
import { makeLayer } from './make-layer.js';

const stopped = new AbortController();

async function answer(task: LayerTask): Promise<LayerReply> {
  try {
    return { blob: await makeLayer(new ChildProcessExec(), task, stopped.signal) };
  } catch (error) {
    const { code, message, details } = toThinError(error);
    return { failure: { code, message, details } };
  }
}

process.once('message', (task) => {
  void answer(task as LayerTask).then((reply) => {
    // The caller may no longer wait for the layer.
    if (process.connected) process.send?.(reply, () => process.exit());
    else process.exit();
  });
});
// The blob is to be given up before the end.
process.once('disconnect', () => stopped.abort());
