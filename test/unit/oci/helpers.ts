/** What the unit tests of src/oci share. */

import { RuncellError } from '../../../src/error.ts';
import { defaultSpec } from '../../../src/oci/default-spec.ts';
import { Problems } from '../../../src/oci/validate/findings.ts';
import { validateConfig } from '../../../src/oci/validate.ts';

// biome-ignore lint/suspicious/noExplicitAny: tests put wrong values into documents
export type Loose = any;

/** The default document after `change`, as plain data. */
export function changed(change: (config: Loose) => void): Loose {
  const config = structuredClone(defaultSpec({ rootless: false })) as Loose;
  change(config);
  return config;
}

/** The error that `act` throws; that it throws nothing is a failure. */
export function errorOf(act: () => unknown): RuncellError {
  try {
    act();
  } catch (error) {
    if (error instanceof RuncellError) return error;
    throw error;
  }
  throw new Error('no error was thrown');
}

/** Every problem of the default document after `change`, as `path: reason`; none if it is valid. */
export function problemsOf(change: (config: Loose) => void): string[] {
  let error: RuncellError;
  try {
    validateConfig(changed(change));
    return [];
  } catch (thrown) {
    if (!(thrown instanceof RuncellError)) throw thrown;
    error = thrown;
  }
  if (error.cause instanceof Problems) {
    return error.cause.problems.map(({ path, reason }) => `${path}: ${reason}`);
  }
  return [`${error.fields.specPath}: ${error.fields.reason}`];
}

/** Changes of the namespaces, and several changes as one. */
export const withoutNamespace = (type: string) => (c: Loose) => {
  c.linux.namespaces = c.linux.namespaces.filter((n: Loose) => n.type !== type);
};
export const joined = (type: string, path: string) => (c: Loose) => {
  withoutNamespace(type)(c);
  c.linux.namespaces.push({ type, path });
};
export const both =
  (...changes: ((c: Loose) => void)[]) =>
  (c: Loose) => {
    for (const change of changes) change(c);
  };
