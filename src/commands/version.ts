/**
 * `--version`: go-runc wants the name and version in the first line, then `commit: ` and `spec: `
 * (reference/runtime-cli.md §1.2). Both constants are put in by scripts/build.ts.
 */

import manifest from '../../oclif.manifest.json' with { type: 'json' };

declare const RUNCELL_COMMIT: string | undefined;

/** Of the OCI runtime specification that is carried out. */
const SPEC_VERSION = '1.3.0';

export function versionText(): string {
  const commit = typeof RUNCELL_COMMIT === 'string' ? RUNCELL_COMMIT : 'unknown';
  return [
    `runcell version ${manifest.version}`,
    `commit: ${commit}`,
    `spec: ${SPEC_VERSION}`,
    `node: ${process.version}`,
    '',
  ].join('\n');
}
