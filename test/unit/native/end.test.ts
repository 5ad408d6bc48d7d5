/** The end of a process: at once by exit_group(2) where somebody offers it, else by Node. */

import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { bundleScript } from '../../helpers/bundle.ts';

const END = JSON.stringify('./src/libcontainer/native/end.ts');
const LIBC = JSON.stringify('./src/libcontainer/native/libc.ts');

function exitCodeOf(source: string): number | null {
  const script = bundleScript(source);
  try {
    return spawnSync(process.execPath, [script.path]).status;
  } finally {
    script.remove();
  }
}

test('without system calls the process ends by Node, with the code', () => {
  expect(exitCodeOf(`import { endProcess } from ${END}; endProcess(7);`)).toBe(7);
});

test('with system calls nothing of Node runs any more', () => {
  const source = `
    import { endProcess } from ${END};
    import { syscall } from ${LIBC};
    syscall('getpid');
    process.reallyExit = () => { throw new Error('reached'); };
    process.on('exit', () => process.kill(process.pid, 'SIGKILL'));
    endProcess(9);`;
  expect(exitCodeOf(source)).toBe(9);
});
