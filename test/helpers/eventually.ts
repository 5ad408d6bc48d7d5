/**
 * Waiting: the only way a test waits for something is to poll for it with a deadline.
 */

/**
 * What every deadline of the tests is multiplied by: an emulated machine takes fifteen times as long
 * for a verb, and its host may have other work. A deadline says that something hangs, no more.
 */
export const PATIENCE = process.env['RUNCELL_TEST_VM'] === undefined ? 1 : 4;

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((done) => setTimeout(done, milliseconds));
}

/** Polls until `test` holds. */
export async function eventually(
  what: string,
  test: () => boolean | Promise<boolean>,
  timeoutMs = 5000,
): Promise<void> {
  const end = performance.now() + timeoutMs * PATIENCE;
  while (!(await test())) {
    if (performance.now() > end)
      throw new Error(`did not happen in ${timeoutMs * PATIENCE} ms: ${what}`);
    await sleep(5);
  }
}
