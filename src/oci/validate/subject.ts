/**
 * What the checks of a configuration share: the document, its Linux part, and which namespaces the
 * container has of its own (runtime-spec 1.3 config-linux.md#namespaces). Opens no file.
 */

import type { Config, Linux, LinuxNamespaceType } from '@opencontainers-ts/spec';
import type { Findings } from './findings.ts';

export interface Subject {
  readonly config: Config;
  /** Empty when the document has none. */
  readonly linux: Linux;
  readonly findings: Findings;
}

/** '' for a namespace to make, a path for one to join, undefined for the runtime's own. */
export function namespacePath(subject: Subject, type: LinuxNamespaceType): string | undefined {
  for (const namespace of subject.linux.namespaces ?? []) {
    if (namespace.type === type) return namespace.path ?? '';
  }
  return undefined;
}

/** Whether the container is not in the runtime's namespace of this kind, as far as the document says. */
export function hasNamespace(subject: Subject, type: LinuxNamespaceType): boolean {
  return namespacePath(subject, type) !== undefined;
}

/** Highest user or group id: setresuid(2) takes 4294967295 for "leave it as it is". */
export const ID_MAX = 4294967294;

/** An absolute path, as the specification asks for in both namespaces. */
export function isAbsolute(path: string): boolean {
  return path.startsWith('/');
}
