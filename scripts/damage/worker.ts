import type { Case } from './injury.js';
import { judge, type Subject, type Verdict } from './judge.js';

type Message = { readonly subject: Subject; readonly scratch: string } | { readonly one: Case };

const verdicts = new Map<string, Verdict>();
let known: { readonly subject: Subject; readonly scratch: string } | undefined;

/** Is told of the pool once, and judges one case after another, in a process that LevelDB may end. */
process.on('message', (message: Message) => {
  if ('subject' in message) known = message;
  else
    judge(known!.subject, message.one, known!.scratch, verdicts).then(
      (verdict) => process.send?.({ verdict }),
      (error: unknown) =>
        process.send?.({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
    );
});
