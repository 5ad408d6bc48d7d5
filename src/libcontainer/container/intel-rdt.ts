/**
 * linux.intelRdt for `create` and `exec` (cgroups/intel-rdt.ts): chosen before anything is made, made
 * when it is on record, joined by init before it runs anything. Loaded late.
 */

import type { LinuxIntelRdt } from '@opencontainers-ts/spec';
import { toRuncellError } from '../../error.ts';
import { noFindings, throwProblems } from '../../oci/validate/findings.ts';
import { checkIntelRdt } from '../../oci/validate/intel-rdt.ts';
import type { ValidConfig } from '../../oci/validate.ts';
import {
  chooseClass,
  classOf,
  joinClass,
  makeClass,
  type RdtState,
  removeClass,
} from '../cgroups/intel-rdt.ts';
import { findResctrl, type Resctrl } from '../cgroups/resctrl.ts';
import type { Log } from './context.ts';

const AT = 'linux.intelRdt';

export class IntelRdt {
  /** For state.json, before anything is made. */
  readonly state: RdtState;
  readonly #rdt: LinuxIntelRdt;
  readonly #resctrl: Resctrl;
  /** Whether the class was there before this create. */
  readonly #wasThere: boolean;
  #made = false;

  /** `find` gives the filesystem of this machine. */
  static prepare(
    { config, id, log }: { config: ValidConfig; id: string; log: Log },
    find: (specPath: string) => Resctrl = findResctrl,
  ): IntelRdt | undefined {
    const { intelRdt } = config.linux;
    if (intelRdt === undefined) return undefined;
    const findings = noFindings();
    checkIntelRdt({ config, linux: config.linux, findings }, id);
    throwProblems(findings);
    for (const warning of findings.warnings) log.warn(warning);
    return new IntelRdt(find(AT), id, intelRdt);
  }

  private constructor(resctrl: Resctrl, id: string, rdt: LinuxIntelRdt) {
    this.#rdt = rdt;
    this.#resctrl = resctrl;
    this.state = placed(() => chooseClass(resctrl, id, rdt));
    this.#wasThere = resctrl.has(this.state.group);
  }

  make(): void {
    this.#made = true;
    placed(() => makeClass(this.#resctrl, this.state, this.#rdt));
  }

  join(pid: number): void {
    placed(() => joinClass(this.#resctrl, this.state, pid));
  }

  /** A class that has a name of its own stays where others are in it by now. */
  undo(): void {
    if (!this.#made) return;
    const { group } = this.state;
    removeClass(this.#resctrl, this.state);
    if (this.state.owned || this.#wasThere || !this.#resctrl.has(group)) return;
    if (this.#resctrl.read(group, 'tasks').trim() === '') this.#resctrl.remove(group);
  }
}

/**
 * A process of `exec`, before it runs. Whoever has removed the class meanwhile has put the container's
 * processes into the default one: there the new one is too.
 */
export function joinRdt(state: RdtState, pid: number, resctrl: Resctrl = classOf(state)): void {
  if (resctrl.has(state.group)) placed(() => joinClass(resctrl, state, pid));
}

function placed<T>(action: () => T): T {
  try {
    return action();
  } catch (thrown) {
    const error = toRuncellError(thrown);
    throw error.fields.specPath === undefined ? error.with({ specPath: AT }) : error;
  }
}
