import { Pace } from '../../src/async/pace.js';

describe('work in turns', () => {
  it('lets others pass between its steps', async () => {
    let passed = 0;
    const other = setInterval(() => passed++, 0);
    const pace = new Pace();
    try {
      // It ends only when somebody else had a turn.
      while (passed < 3) await pace.pause();
    } finally {
      clearInterval(other);
    }
  });
});
