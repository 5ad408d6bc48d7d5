/**
 * Parts of a container that few have, behind one door, so that `create` asks once whether there are
 * any: the class of service (linux.intelRdt), network devices (linux.netDevices), the memory policy
 * (linux.memoryPolicy). Loaded late.
 */

import { toRuncellError } from '../../error.ts';
import { noFindings, throwProblems } from '../../oci/validate/findings.ts';
import { checkMemoryPolicy } from '../../oci/validate/memory-policy.ts';
import type { ValidConfig } from '../../oci/validate.ts';
import type { Draft } from '../plan/draft.ts';
import { planMemoryPolicy } from '../plan/memory-policy.ts';
import type { StateFile } from '../store/state-file.ts';
import type { Log } from './context.ts';
import { IntelRdt } from './intel-rdt.ts';
import { NetDevices } from './net-devices.ts';

export class RareParts {
  readonly #rdt: IntelRdt | undefined;
  readonly #netDevices: NetDevices | undefined;

  /** Everything that can be found wrong before there is a container. */
  constructor(subject: { config: ValidConfig; id: string; log: Log }) {
    this.#rdt = IntelRdt.prepare(subject);
    this.#netDevices = NetDevices.prepare(subject.config);
    const { memoryPolicy } = subject.config.linux;
    if (memoryPolicy === undefined) return;
    const findings = noFindings();
    checkMemoryPolicy(memoryPolicy, findings);
    throwProblems(findings);
  }

  /** How the rare parts of init's program are planned. */
  usePlanners(draft: Draft): void {
    draft.planMemoryPolicy = planMemoryPolicy;
  }

  /** What state.json has to know of them before they are made. */
  get record(): Pick<StateFile, 'intel_rdt'> {
    return this.#rdt === undefined ? {} : { intel_rdt: this.#rdt.state };
  }

  make(): void {
    this.#rdt?.make();
  }

  /** For init, which waits for its program. */
  apply(pid: number): void {
    this.#rdt?.join(pid);
    this.#netDevices?.move(pid);
  }

  /** The container stands. */
  commit(): void {
    this.#netDevices?.commit();
  }

  /** Gives what could not be undone; `isOurs`: nobody has deleted the container meanwhile. */
  undo(isOurs: boolean): string[] {
    const problems = this.#netDevices?.undo() ?? [];
    try {
      if (isOurs) this.#rdt?.undo();
    } catch (thrown) {
      problems.push(toRuncellError(thrown).message);
    }
    return problems;
  }
}
