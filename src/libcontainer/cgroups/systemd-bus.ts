/**
 * What runcell asks of systemd, over D-Bus (org.freedesktop.systemd1(5)): start a transient scope,
 * set its properties, stop it, put processes into it.
 *
 * Starting and stopping are jobs: the call gives a job, and the signal JobRemoved says how that job
 * ended. It is subscribed to before the call, so that it cannot be missed. Each call and each wait
 * has a deadline: a systemd that hangs is an error that says so, never a runtime that hangs.
 */

import { RuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';
import type { BusData, BusProperty, Variant } from '../native/bus-value.ts';
import { BusError, SdBus } from '../native/sd-bus.ts';
import { versionNumber } from './systemd-unit.ts';

const DESTINATION = 'org.freedesktop.systemd1';
const PATH = '/org/freedesktop/systemd1';
const MANAGER = 'org.freedesktop.systemd1.Manager';
const PROPERTIES = 'org.freedesktop.DBus.Properties';

/** A call, and the job that it starts: as long as runc waits. */
const CALL_MS = 30_000;

const UNIT_EXISTS = 'org.freedesktop.systemd1.UnitExists';
const NO_SUCH_UNIT = 'org.freedesktop.systemd1.NoSuchUnit';
/** What means that a call did not get there or back: the errno of sd-bus, not an answer. */
const UNREACHABLE: readonly number[] = [
  ERRNO.ETIMEDOUT,
  ERRNO.ENOTCONN,
  ERRNO.ECONNRESET,
  ERRNO.EPIPE,
  ERRNO.ECONNREFUSED,
];

/** The bus is there, and nobody on it is systemd. */
const NOBODY: readonly string[] = [
  'org.freedesktop.DBus.Error.ServiceUnknown',
  'org.freedesktop.DBus.Error.NameHasNoOwner',
];

export interface BusPlace {
  /** Whether it is the bus of the user's own manager. */
  readonly user: boolean;
  readonly address: string;
}

/**
 * The bus of whoever calls: the system's, or the user's own without root (runtime-cli.md §1.3).
 * Both addresses can be given in the environment, as everywhere with D-Bus.
 */
export function busPlace(env: readonly string[], user: boolean, uid: number): BusPlace {
  const variable = (name: string): string | undefined => {
    const value = env.findLast((entry) => entry.startsWith(`${name}=`))?.slice(name.length + 1);
    return value === '' ? undefined : value;
  };
  if (!user) {
    const usual = 'unix:path=/run/dbus/system_bus_socket';
    return { user, address: variable('DBUS_SYSTEM_BUS_ADDRESS') ?? usual };
  }
  const directory = variable('XDG_RUNTIME_DIR') ?? `/run/user/${uid}`;
  const usual = `unix:path=${directory}/bus`;
  return { user, address: variable('DBUS_SESSION_BUS_ADDRESS') ?? usual };
}

export class Systemd implements Disposable {
  readonly place: BusPlace;
  readonly #bus: SdBus;
  readonly #timeoutMs: number;
  #subscribed = false;

  constructor(place: BusPlace, timeoutMs: number = CALL_MS) {
    this.place = place;
    this.#timeoutMs = timeoutMs;
    this.#bus = new SdBus(place.address, timeoutMs);
  }

  [Symbol.dispose](): void {
    this.#bus.close();
  }

  /** The manager's version, -1 when it is not told. */
  version(): number {
    return versionNumber(String(this.#property(PATH, MANAGER, 'Version')));
  }

  /** The group that the manager's units are below: '' for the system's, which has the root. */
  ownGroup(): string {
    const group = String(this.#property(PATH, MANAGER, 'ControlGroup'));
    return group === '/' ? '' : group;
  }

  /** The group that a scope has, '' when it has none. */
  scopeGroup(unit: string): string {
    const [path] = this.#manager('GetUnit', unit, 's', [unit]);
    return String(this.#property(String(path), 'org.freedesktop.systemd1.Scope', 'ControlGroup'));
  }

  /**
   * Starts a transient scope and waits until it stands. A unit of that name that failed earlier and
   * was never looked at is in the way: it is reset, once.
   */
  startScope(unit: string, properties: readonly BusProperty[]): void {
    const body = [unit, 'replace', properties.map(encoded), []];
    try {
      this.#job('start', unit, 'StartTransientUnit', 'ssa(sv)a(sa(sv))', body);
    } catch (thrown) {
      if (!isNamed(thrown, UNIT_EXISTS)) throw thrown;
      this.resetFailed(unit);
      this.#job('start', unit, 'StartTransientUnit', 'ssa(sv)a(sa(sv))', body);
    }
  }

  /** Stops the unit and lets systemd forget it; nothing is done when there is none. */
  stop(unit: string): void {
    try {
      this.#job('stop', unit, 'StopUnit', 'ss', [unit, 'replace']);
    } catch (thrown) {
      if (!isNamed(thrown, NO_SUCH_UNIT)) throw thrown;
    }
    this.resetFailed(unit);
  }

  /** A failed unit stays loaded until this; one that is gone needs nothing. */
  resetFailed(unit: string): void {
    try {
      this.#manager('ResetFailedUnit', unit, 's', [unit]);
    } catch (thrown) {
      if (!isNamed(thrown, NO_SUCH_UNIT)) throw thrown;
    }
  }

  /** Until the unit is gone: that is what `runtime` says. */
  setProperties(unit: string, properties: readonly BusProperty[]): void {
    const body = [unit, true, properties.map(encoded)];
    this.#manager('SetUnitProperties', unit, 'sba(sv)', body);
  }

  /** Moves processes into the unit, or a group below it; systemd 238. */
  attach(unit: string, subgroup: string, pids: readonly number[]): void {
    this.#manager('AttachProcessesToUnit', unit, 'ssau', [unit, subgroup, pids]);
  }

  // ---- calls

  /** A job of its own, and its end. */
  #job(
    operation: string,
    unit: string,
    member: string,
    signature: string,
    body: readonly BusData[],
  ): void {
    this.#subscribe(unit);
    const [job] = this.#manager(member, unit, signature, body);
    const signal = { interface: MANAGER, member: 'JobRemoved' };
    const ended = this.#waitJob(unit, signal, job!);
    // u id, o job, s unit, s result
    const result = ended === undefined ? undefined : String(ended[3]);
    if (result === 'done') return;
    const reason =
      result === undefined
        ? `systemd did not ${operation} it within ${this.#timeoutMs / 1000} s`
        : `systemd's job ended as ${result}`;
    throw this.#unitError(`${operation} the unit`, unit, {
      reason,
      hint: `systemctl ${this.place.user ? '--user ' : ''}status ${unit} may say why`,
    });
  }

  #waitJob(
    unit: string,
    signal: { readonly interface: string; readonly member: string },
    job: BusData,
  ): BusData[] | undefined {
    try {
      return this.#bus.waitSignal(signal, (body) => body[1] === job, this.#timeoutMs);
    } catch (thrown) {
      throw this.#explained(thrown, 'wait for the job of', unit);
    }
  }

  /** systemd sends its signals only to those who asked, and the bus as well. */
  #subscribe(unit: string): void {
    if (this.#subscribed) return;
    const rule = `type='signal',sender='${DESTINATION}',interface='${MANAGER}',member='JobRemoved'`;
    const request = {
      destination: 'org.freedesktop.DBus',
      path: '/org/freedesktop/DBus',
      interface: 'org.freedesktop.DBus',
      member: 'AddMatch',
      signature: 's',
      body: [rule],
    };
    this.#call('AddMatch', unit, request);
    this.#manager('Subscribe', unit, '', []);
    this.#subscribed = true;
  }

  #manager(member: string, unit: string, signature: string, body: readonly BusData[]): BusData[] {
    const call = { destination: DESTINATION, path: PATH, interface: MANAGER, member };
    return this.#call(member, unit, { ...call, signature, body });
  }

  #property(path: string, owner: string, name: string): BusData {
    const call = { destination: DESTINATION, path, interface: PROPERTIES, member: 'Get' };
    const [value] = this.#call(`get ${name}`, '', {
      ...call,
      signature: 'ss',
      body: [owner, name],
    });
    return (value as Variant).value;
  }

  #call(operation: string, unit: string, call: Parameters<SdBus['call']>[0]): BusData[] {
    try {
      return this.#bus.call(call, this.#timeoutMs);
    } catch (thrown) {
      throw this.#explained(thrown, operation, unit);
    }
  }

  #explained(thrown: unknown, operation: string, unit: string): unknown {
    if (!(thrown instanceof BusError)) return thrown;
    const { dbusName, errno, message } = thrown;
    const cause = thrown;
    if (UNREACHABLE.includes(errno)) {
      const reason = `${message} from systemd on ${this.place.address}`;
      const hint = 'systemd or its bus hangs or has gone; the verb can be tried again';
      return this.#unitError(operation, unit, { code: 'systemd.bus', reason, hint, cause });
    }
    if (NOBODY.includes(dbusName)) {
      const reason = `nobody on ${this.place.address} is systemd`;
      const hint = 'is systemd running here? --cgroup-manager cgroupfs works without it';
      return this.#unitError(operation, unit, { code: 'systemd.bus', reason, hint, cause });
    }
    const said = message === '' ? dbusName : message;
    return this.#unitError(operation, unit, { reason: `systemd says: ${said}`, cause });
  }

  #unitError(
    operation: string,
    target: string,
    more: Partial<RuncellError['fields']>,
  ): RuncellError {
    return new RuncellError({ code: 'systemd.unit', operation, target, ...more });
  }
}

function encoded({ name, signature, value }: BusProperty): BusData {
  return [name, { signature, value }];
}

/** Whether systemd's answer was the error of this name. */
function isNamed(thrown: unknown, name: string): boolean {
  const cause = (thrown as RuncellError | undefined)?.fields?.cause;
  return cause instanceof BusError && cause.dbusName === name;
}
