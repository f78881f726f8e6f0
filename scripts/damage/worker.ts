import type { Case } from './injury.js';
import { judge, type Subject } from './judge.js';

/** Judges one case after another, in a process that LevelDB may end. */
process.on('message', (message: { subject: Subject; one: Case; scratch: string }) => {
  judge(message.subject, message.one, message.scratch).then(
    (verdict) => process.send?.({ verdict }),
    (error: unknown) =>
      process.send?.({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  );
});
