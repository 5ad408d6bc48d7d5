/** Where the product's files are: beside the bundle in dist/, or in the repository's dist/ in tests. */

function dist(): string {
  return typeof __dirname === 'string' ? __dirname : `${import.meta.dirname}/../../../dist`;
}

/** The executor's ELF (scripts/emit.ts). */
export function executorPath(): string {
  return `${dist()}/executor`;
}

/** dist/runcell, to become the compiler again. */
export function launcherPath(): string {
  return `${dist()}/runcell`;
}
