/**
 * D-Bus through libsystemd: a connection, method calls and signals, each with a deadline (sd-bus(3)).
 *
 * sd-bus does the protocol; nothing of it is written here. Of its functions those without varargs
 * are used, since a call by foreign function has to know the types. Two that would wait as they
 * please are not: the connection is made by sd_bus_start(3) and driven by our own ppoll(2) until the
 * bus has answered Hello (sd_bus_open would wait for 90 s), and a signal is waited for in the same
 * way. sd_bus_call(3) takes a timeout, and keeps signals that arrive meanwhile in its queue.
 * Addresses are of sockets only: `unixexec:` would make processes here.
 */

import { RuncellError } from '../../error.ts';
import { ERRNO } from '../linux/errno.ts';
import {
  type BusData,
  completeTypes,
  decodeBasic,
  encodeBasic,
  type Variant,
} from './bus-value.ts';
import { type NativeFunction, openKoffi } from './koffi.ts';
import { cString, monotonicMs, POLLHUP, poll } from './libc.ts';

const LIBRARY = 'libsystemd.so.0';
/** How long the bus may take to let us in. */
const CONNECT_MS = 10_000;
/** sd_bus_error: `const char *name`, `const char *message`, `int` of its own. */
const ERROR_BYTES = 24;

/** C signatures: p pointer, i int, c char (promoted), u uint64_t. */
const FUNCTIONS = {
  sd_bus_new: 'p',
  sd_bus_set_address: 'pp',
  sd_bus_set_bus_client: 'pi',
  sd_bus_start: 'p',
  sd_bus_is_ready: 'p',
  sd_bus_get_fd: 'p',
  sd_bus_get_events: 'p',
  sd_bus_process: 'pp',
  sd_bus_call: 'ppupp',
  sd_bus_close: 'p',
  sd_bus_unref: 'p',
  sd_bus_error_free: 'p',
  sd_bus_message_new_method_call: 'pppppp',
  sd_bus_message_append_basic: 'pip',
  sd_bus_message_open_container: 'pip',
  sd_bus_message_close_container: 'p',
  sd_bus_message_enter_container: 'pip',
  sd_bus_message_exit_container: 'p',
  sd_bus_message_peek_type: 'ppp',
  sd_bus_message_read_basic: 'pip',
  sd_bus_message_is_signal: 'ppp',
  sd_bus_message_unref: 'p',
} as const;

type FunctionName = keyof typeof FUNCTIONS;
const WORDS: Record<string, string> = { p: 'void *', i: 'int', u: 'uint64_t' };
/** Those that give a pointer back, which nobody looks at. */
const GIVES_POINTER = /_unref$|_free$/;

/** libsystemd and the two functions of libc that read a C string. */
class Library {
  readonly #call = new Map<FunctionName, NativeFunction>();
  readonly #strlen: NativeFunction;
  readonly #memcpy: NativeFunction;

  constructor() {
    const koffi = openKoffi();
    const library = loadLibrary();
    for (const [name, signature] of Object.entries(FUNCTIONS)) {
      const words = [...signature].map((letter) => WORDS[letter]!);
      const result = GIVES_POINTER.test(name) ? 'void *' : 'int';
      this.#call.set(name as FunctionName, library.func(name, result, words));
    }
    const libc = koffi.load(null);
    this.#strlen = libc.func('strlen', 'size_t', ['void *']);
    this.#memcpy = libc.func('memcpy', 'void *', ['void *', 'void *', 'size_t']);
  }

  /** What the function returns: a number, or a negative errno. */
  call(name: FunctionName, ...args: Parameters<NativeFunction>): number {
    return this.#call.get(name)!(...args);
  }

  /** As `call`, where only our own mistakes and lack of memory can fail. */
  must(name: FunctionName, ...args: Parameters<NativeFunction>): number {
    const result = this.call(name, ...args);
    if (result >= 0) return result;
    throw new RuncellError({ code: 'internal', operation: name, errno: -result });
  }

  text(pointer: bigint): string {
    if (pointer === 0n) return '';
    const bytes = Buffer.alloc(this.#strlen(pointer));
    if (bytes.length > 0) this.#memcpy(bytes, pointer, bytes.length);
    return bytes.toString('utf8');
  }
}

function loadLibrary() {
  try {
    return openKoffi().load(LIBRARY);
  } catch (thrown) {
    throw new RuncellError({
      code: 'systemd.bus',
      operation: 'load',
      target: LIBRARY,
      reason: 'the systemd cgroup driver needs libsystemd',
      hint: 'install libsystemd0 (systemd-libs), or use --cgroup-manager cgroupfs',
      cause: thrown,
    });
  }
}

let opened: Library | undefined;

function library(): Library {
  opened ??= new Library();
  return opened;
}

/** What the other side answered in place of a reply, or the errno of a call that got no answer. */
export class BusError extends Error {
  /** As `org.freedesktop.systemd1.UnitExists`, `` where the call did not get there. */
  readonly dbusName: string;
  /** Positive. */
  readonly errno: number;

  constructor(dbusName: string, message: string, errno: number) {
    super(message);
    this.name = 'BusError';
    this.dbusName = dbusName;
    this.errno = errno;
  }
}

export interface MethodCall {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly BusData[];
}

export class SdBus implements Disposable {
  readonly #lib: Library;
  #bus: bigint;

  /** Connects; throws `systemd.bus` with what can be done about it. */
  constructor(address: string, timeoutMs: number = CONNECT_MS) {
    this.#lib = library();
    const out = new BigUint64Array(1);
    this.#lib.must('sd_bus_new', out);
    this.#bus = out[0]!;
    try {
      this.#connect(address, monotonicMs() + timeoutMs);
    } catch (thrown) {
      this.close();
      throw thrown;
    }
  }

  #connect(address: string, deadline: number): void {
    if (!address.split(';').every((part) => part.startsWith('unix:'))) {
      throw busError(address, { reason: 'only unix: addresses are taken' });
    }
    const lib = this.#lib;
    const taken = lib.call('sd_bus_set_address', this.#bus, cString(address));
    if (taken < 0) throw busError(address, { errno: -taken });
    lib.must('sd_bus_set_bus_client', this.#bus, 1);
    const started = lib.call('sd_bus_start', this.#bus);
    if (started < 0) throw busError(address, { errno: -started });
    while (lib.call('sd_bus_is_ready', this.#bus) <= 0) {
      const step = this.#process(deadline);
      if (step === 'late') throw busError(address, { reason: 'no answer from the bus in time' });
      if (step === 'gone') throw busError(address, { reason: 'the bus closed the connection' });
    }
  }

  /**
   * One step of sd_bus_process(3), after a wait where there was nothing to do: the message that came
   * and that nobody has taken, undefined for none, or why there will be none.
   */
  #process(deadline: number): bigint | 'late' | 'gone' | undefined {
    const lib = this.#lib;
    const out = new BigUint64Array(1);
    const result = lib.call('sd_bus_process', this.#bus, out);
    if (result < 0) return 'gone';
    if (out[0] !== 0n) return out[0]!;
    if (result > 0) return undefined;
    const left = deadline - monotonicMs();
    if (left <= 0) return 'late';
    const fd = lib.call('sd_bus_get_fd', this.#bus);
    const events = lib.call('sd_bus_get_events', this.#bus);
    if (fd < 0 || events < 0) return 'gone';
    poll([{ fd, events: events | POLLHUP }], left);
    return undefined;
  }

  /** The body of the reply; throws BusError. */
  call(request: MethodCall, timeoutMs: number): BusData[] {
    const lib = this.#lib;
    const message = this.#message(request);
    const error = new Uint8Array(ERROR_BYTES);
    const reply = new BigUint64Array(1);
    const microseconds = BigInt(Math.ceil(timeoutMs * 1000));
    try {
      const result = lib.call('sd_bus_call', this.#bus, message, microseconds, error, reply);
      if (result < 0) throw this.#failure(error, -result);
      return this.#body(reply[0]!);
    } finally {
      lib.call('sd_bus_error_free', error);
      lib.call('sd_bus_message_unref', message);
      if (reply[0] !== 0n) lib.call('sd_bus_message_unref', reply[0]!);
    }
  }

  #failure(error: Uint8Array, errno: number): BusError {
    const words = new BigUint64Array(error.buffer, error.byteOffset, 2);
    const [name, message] = [this.#lib.text(words[0]!), this.#lib.text(words[1]!)];
    return errno === ERRNO.ETIMEDOUT
      ? new BusError(name, 'no answer in time', errno)
      : new BusError(name, message, errno);
  }

  /** The body of the first signal of this name that `wanted` accepts; undefined when it is late. */
  waitSignal(
    signal: { readonly interface: string; readonly member: string },
    wanted: (body: readonly BusData[]) => boolean,
    timeoutMs: number,
  ): BusData[] | undefined {
    const lib = this.#lib;
    const deadline = monotonicMs() + timeoutMs;
    const names = [cString(signal.interface), cString(signal.member)] as const;
    for (;;) {
      const step = this.#process(deadline);
      if (step === 'late') return undefined;
      if (step === 'gone') throw new BusError('', 'the bus closed the connection', ERRNO.EPIPE);
      if (step === undefined) continue;
      try {
        if (lib.call('sd_bus_message_is_signal', step, names[0], names[1]) <= 0) continue;
        const body = this.#body(step);
        if (wanted(body)) return body;
      } finally {
        lib.call('sd_bus_message_unref', step);
      }
    }
  }

  close(): void {
    if (this.#bus === 0n) return;
    this.#lib.call('sd_bus_close', this.#bus);
    this.#lib.call('sd_bus_unref', this.#bus);
    this.#bus = 0n;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  // ---- messages

  #message(request: MethodCall): bigint {
    const out = new BigUint64Array(1);
    this.#lib.must(
      'sd_bus_message_new_method_call',
      this.#bus,
      out,
      cString(request.destination),
      cString(request.path),
      cString(request.interface),
      cString(request.member),
    );
    const message = out[0]!;
    completeTypes(request.signature ?? '').forEach((type, index) => {
      this.#append(message, type, request.body![index]!);
    });
    return message;
  }

  #append(message: bigint, type: string, value: BusData): void {
    const lib = this.#lib;
    const open = (kind: string, contents: string): void => {
      lib.must('sd_bus_message_open_container', message, code(kind), cString(contents));
    };
    const items = value as readonly BusData[];
    if (type.startsWith('a')) {
      const inner = type.slice(1);
      open('a', inner);
      for (const item of items) this.#append(message, inner, item);
    } else if (type.startsWith('(')) {
      const inner = type.slice(1, -1);
      open('r', inner);
      completeTypes(inner).forEach((part, index) => {
        this.#append(message, part, items[index]!);
      });
    } else if (type === 'v') {
      const variant = value as Variant;
      open('v', variant.signature);
      this.#append(message, variant.signature, variant.value);
    } else {
      const data = isText(type) ? cString(String(value)) : encodeBasic(type, value);
      lib.must('sd_bus_message_append_basic', message, code(type), data);
      return;
    }
    lib.must('sd_bus_message_close_container', message);
  }

  /** What is in the message from where it is being read to the end of the container. */
  #body(message: bigint): BusData[] {
    const lib = this.#lib;
    const values: BusData[] = [];
    const type = new Uint8Array(1);
    const contents = new BigUint64Array(1);
    while (lib.must('sd_bus_message_peek_type', message, type, contents) > 0) {
      const kind = type[0]!;
      const letter = String.fromCharCode(kind);
      if (!'arve'.includes(letter)) {
        values.push(this.#readBasic(message, letter));
        continue;
      }
      const signature = lib.text(contents[0]!);
      lib.must('sd_bus_message_enter_container', message, kind, contents[0]!);
      const inner = this.#body(message);
      values.push(letter === 'v' ? { signature, value: inner[0]! } : inner);
      lib.must('sd_bus_message_exit_container', message);
    }
    return values;
  }

  #readBasic(message: bigint, type: string): BusData {
    const bytes = new Uint8Array(8);
    this.#lib.must('sd_bus_message_read_basic', message, code(type), bytes);
    if (!isText(type)) return decodeBasic(type, bytes);
    return this.#lib.text(new BigUint64Array(bytes.buffer)[0]!);
  }
}

const code = (letter: string): number => letter.charCodeAt(0);
const isText = (type: string): boolean => 'sog'.includes(type);

function busError(
  address: string,
  why: { readonly reason?: string; readonly errno?: number },
): RuncellError {
  return new RuncellError({
    code: 'systemd.bus',
    operation: 'connect to the bus of systemd',
    target: address,
    ...why,
    hint: 'is systemd running here? --cgroup-manager cgroupfs works without it',
  });
}
