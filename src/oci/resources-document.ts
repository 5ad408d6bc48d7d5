/**
 * The document of `update --resources`: a bare `linux.resources` object (reference/runtime-cli.md §2).
 * The schema first, then the values, as in a configuration.
 */

import { explainResources, isResources, type LinuxResources } from '@opencontainers-ts/spec';
import { parseJson } from './json.ts';
import { type Findings, noFindings, throwProblems } from './validate/findings.ts';
import { checkResources } from './validate/resources.ts';
import { schemaChecked } from './validate.ts';

export interface ResourcesDocument {
  readonly resources: LinuxResources;
  readonly warnings: readonly string[];
  readonly debug: readonly string[];
}

/** `source` is what an error of syntax names. */
export function parseResources(text: string | Uint8Array, source: string): ResourcesDocument {
  return validateResources(parseJson(text, { source }));
}

export function validateResources(value: unknown): ResourcesDocument {
  const findings: Findings = noFindings();
  const schema = { accepts: isResources, explain: explainResources, specPath: '' };
  const resources = schemaChecked(value, findings, schema) as LinuxResources;
  checkResources(resources, '', findings);
  throwProblems(findings);
  return { resources, warnings: findings.warnings, debug: findings.debug };
}
