/**
 * The state document (runtime-spec 1.3 runtime.md#runtimeState): as `state` and `list` print it, with
 * runc's further keys in runc's order (reference/runtime-cli.md §2), and as hooks read it.
 */

import type { State } from '@opencontainers-ts/spec';
import { OCI_VERSION } from './validate/document.ts';

export type Annotations = { readonly [key: string]: string };

export interface StateInput {
  readonly id: string;
  /** 0 when there is no process. */
  readonly pid: number;
  readonly status: 'creating' | 'created' | 'running' | 'paused' | 'stopped';
  readonly bundle: string;
  readonly rootfs: string;
  /** RFC 3339, UTC, with nanoseconds. */
  readonly created: string;
  readonly annotations?: Annotations | undefined;
  /** Name of the owner of the state directory; '' in `state`. */
  readonly owner: string;
}

export interface StateDocument {
  ociVersion: string;
  id: string;
  pid: number;
  status: StateInput['status'];
  bundle: string;
  rootfs: string;
  created: string;
  annotations?: Annotations;
  owner: string;
}

/** Keys in runc's order; annotations only if there are any; the version is the runtime's own. */
export function stateDocument(input: StateInput): StateDocument {
  const { id, pid, status, bundle, rootfs, created, owner } = input;
  return {
    ociVersion: OCI_VERSION,
    id,
    pid,
    status,
    bundle,
    rootfs,
    created,
    ...annotationsOf(input.annotations),
    owner,
  };
}

export interface HookStateInput {
  readonly id: string;
  readonly status: State['status'];
  /** As the hook sees it; left out when there is no process any more. */
  readonly pid?: number | undefined;
  readonly bundle: string;
  readonly annotations?: Annotations | undefined;
}

/** What a hook reads from its standard input: one line of JSON, without a newline. */
export function hookState({ id, status, pid, bundle, annotations }: HookStateInput): string {
  const state: State = {
    ociVersion: OCI_VERSION,
    id,
    status,
    ...(pid === undefined || pid === 0 ? {} : { pid }),
    bundle,
    ...annotationsOf(annotations),
  };
  return JSON.stringify(state);
}

function annotationsOf(annotations: Annotations | undefined): { annotations?: Annotations } {
  for (const _key in annotations) return { annotations: annotations! };
  return {};
}
