/**
 * A group's files as the statistics of runc's `events`: keys, order and units are runc's
 * (reference/runtime-cli.md §2, its types/events.go and the structures for cgroup v2), so that what
 * reads runc's output reads this. Pure: the files come from whoever asks (read-stats.ts).
 *
 *     cpu.stat cpu.pressure          microseconds become nanoseconds
 *     memory.{current,max,peak} …    swap is memory and swap together, as in v1
 *     pids.{current,max}             "max" is no limit, and no key
 *     io.stat io.pressure            bytes and operations by device, read and write
 *     hugetlb.SIZE.{current,events}
 *
 * Numbers are bigint, since they have 64 bits; "max" is 2^64-1. A key whose value is zero or that
 * has no file is left out, but for those that runc always writes. What a file says beyond that
 * (rdma.current, misc.current, the rest of cpu.stat) has no place in runc's document.
 * Documentation/admin-guide/cgroup-v2.rst, Documentation/accounting/psi.rst.
 */

/** The files of one group. */
export interface GroupFiles {
  /** All names in the directory. */
  readonly names: readonly string[];
  /** The content; undefined where there is no such file, or none that can be read here. */
  read(name: string): string | undefined;
  /** Threads of the group and below, counted. Asked where the pids controller is off. */
  countThreads(): number;
}

export const UNLIMITED = (1n << 64n) - 1n;

export interface PressureLine {
  readonly avg10: number;
  readonly avg60: number;
  readonly avg300: number;
  readonly total: bigint;
}

export interface Pressure {
  readonly some?: PressureLine;
  readonly full?: PressureLine;
}

export interface MemoryEntry {
  readonly limit: bigint;
  readonly usage?: bigint;
  readonly max?: bigint;
  readonly failcnt: bigint;
}

export interface BlkioEntry {
  readonly major?: bigint;
  readonly minor?: bigint;
  readonly op: 'Read' | 'Write';
  readonly value?: bigint;
}

export interface Stats {
  readonly cpu: {
    readonly usage?: { readonly total?: bigint; readonly kernel: bigint; readonly user: bigint };
    readonly throttling?: {
      readonly periods?: bigint;
      readonly throttledPeriods?: bigint;
      readonly throttledTime?: bigint;
    };
    readonly psi?: Pressure;
  };
  readonly cpuset: Readonly<Record<string, bigint>>;
  readonly memory: {
    readonly cache?: bigint;
    readonly usage?: MemoryEntry;
    readonly swap?: MemoryEntry;
    readonly raw?: Readonly<Record<string, bigint>>;
    readonly psi?: Pressure;
  };
  readonly pids: { readonly current?: bigint; readonly limit?: bigint };
  readonly blkio: {
    readonly ioServiceBytesRecursive?: readonly BlkioEntry[];
    readonly ioServicedRecursive?: readonly BlkioEntry[];
    readonly psi?: Pressure;
  };
  readonly hugetlb: Readonly<Record<string, { usage?: bigint; failcnt: bigint }>>;
  /** rdt-stats.ts has them where the container has a class of service. */
  readonly intel_rdt: Readonly<Record<string, unknown>>;
  readonly network_interfaces: null;
}

export function statsOf(files: GroupFiles): Stats {
  return {
    cpu: cpuOf(files),
    cpuset: CPUSET,
    memory: memoryOf(files),
    pids: present({ current: tasksOf(files), limit: limitOf(files, 'pids.max') }),
    blkio: blkioOf(files),
    hugetlb: hugetlbOf(files),
    // Interfaces are those that a runtime made itself.
    intel_rdt: {},
    network_interfaces: null,
  };
}

/** runc's names for files of v1: on v2 they say nothing, and are always there. */
const CPUSET = Object.fromEntries(
  [
    ...['cpu_exclusive', 'mem_hardwall', 'mem_exclusive', 'memory_migrate', 'memory_spread_page'],
    ...['memory_spread_slab', 'memory_pressure', 'sched_load_balance', 'sched_relax_domain_level'],
  ].map((name) => [name, 0n]),
);

function cpuOf(files: GroupFiles): Stats['cpu'] {
  const stat = keyedValues(files.read('cpu.stat'));
  const nanoseconds = (name: string): bigint => (stat[name] ?? 0n) * 1000n;
  const [total, kernel, user] = ['usage_usec', 'system_usec', 'user_usec'].map(nanoseconds);
  const used = total !== 0n || kernel !== 0n || user !== 0n;
  const throttling = present({
    periods: stat['nr_periods'],
    throttledPeriods: stat['nr_throttled'],
    throttledTime: nanoseconds('throttled_usec'),
  });
  return filled({
    usage: used ? { ...present({ total }), kernel: kernel!, user: user! } : undefined,
    throttling: Object.keys(throttling).length === 0 ? undefined : throttling,
    psi: pressureOf(files.read('cpu.pressure')),
  });
}

function memoryOf(files: GroupFiles): Stats['memory'] {
  const raw = keyedValues(files.read('memory.stat'));
  const memory = readEntry(files, 'memory');
  const swap = readEntry(files, 'memory.swap');
  return filled({
    cache: raw['file'] === 0n ? undefined : raw['file'],
    usage: memory && entryOf(memory),
    swap: memory && entryOf(withSwap(memory, swap ?? { usage: 0n, limit: 0n, max: 0n })),
    // Go prints a map by its sorted keys.
    raw: Object.keys(raw).length === 0 ? undefined : sorted(raw),
    psi: pressureOf(files.read('memory.pressure')),
  });
}

interface Amounts {
  readonly usage: bigint;
  readonly limit: bigint;
  readonly max: bigint;
}

/** Undefined where the controller is off. `peak` is newer: 5.19, for swap 6.5. */
function readEntry(files: GroupFiles, prefix: string): Amounts | undefined {
  const usage = numberIn(files.read(`${prefix}.current`));
  if (usage === undefined) return undefined;
  const [limit, max] = ['max', 'peak'].map((name) => numberIn(files.read(`${prefix}.${name}`)));
  return { usage, limit: limit ?? UNLIMITED, max: max ?? 0n };
}

/** v1 counts both together; a peak of the sum is not known. */
function withSwap(memory: Amounts, swap: Amounts): Amounts {
  const limit = swap.limit + memory.limit;
  return {
    usage: memory.usage + swap.usage,
    limit: swap.limit === UNLIMITED || limit > UNLIMITED ? UNLIMITED : limit,
    max: 0n,
  };
}

/** v2 has no count of refused allocations that means what failcnt did. */
function entryOf({ usage, limit, max }: Amounts): MemoryEntry | undefined {
  if (usage === 0n && limit === 0n && max === 0n) return undefined;
  return { limit, ...present({ usage, max }), failcnt: 0n };
}

function tasksOf(files: GroupFiles): bigint {
  return numberIn(files.read('pids.current')) ?? BigInt(files.countThreads());
}

/** Undefined for "max". */
function limitOf(files: GroupFiles, name: string): bigint | undefined {
  const limit = numberIn(files.read(name));
  return limit === UNLIMITED ? undefined : limit;
}

function blkioOf(files: GroupFiles): Stats['blkio'] {
  const bytes: BlkioEntry[] = [];
  const operations: BlkioEntry[] = [];
  for (const { major, minor, values } of deviceLines(files.read('io.stat'))) {
    for (const [name, value] of values) {
      const op = name.startsWith('r') ? 'Read' : 'Write';
      const entry = { ...present({ major, minor }), op, ...present({ value }) } as const;
      if (name === 'rbytes' || name === 'wbytes') bytes.push(entry);
      if (name === 'rios' || name === 'wios') operations.push(entry);
    }
  }
  return filled({
    ioServiceBytesRecursive: bytes.length === 0 ? undefined : bytes,
    ioServicedRecursive: operations.length === 0 ? undefined : operations,
    psi: pressureOf(files.read('io.pressure')),
  });
}

/** What is reserved where the kernel counts that (5.7), else what is used. */
function hugetlbOf(files: GroupFiles): Stats['hugetlb'] {
  const sizes = files.names
    .map((name) => /^hugetlb\.([^.]+)\.current$/.exec(name)?.[1])
    .filter((size) => size !== undefined);
  const entries = sizes.sort().map((size) => {
    const usage =
      numberIn(files.read(`hugetlb.${size}.rsvd.current`)) ??
      numberIn(files.read(`hugetlb.${size}.current`));
    const failcnt = keyedValues(files.read(`hugetlb.${size}.events`))['max'] ?? 0n;
    return [size, { ...present({ usage }), failcnt }] as const;
  });
  return Object.fromEntries(entries);
}

// ---- what `top` shows

/** The amounts behind a line of `top`; undefined where the controller is off. */
export interface Usage {
  /** Nanoseconds of all processors. */
  readonly cpu: bigint | undefined;
  readonly memory: bigint | undefined;
  /** Undefined: no limit. */
  readonly memoryLimit: bigint | undefined;
  readonly pids: bigint;
  readonly pidsLimit: bigint | undefined;
  readonly readBytes: bigint | undefined;
  readonly writtenBytes: bigint | undefined;
}

export function usageOf(files: GroupFiles): Usage {
  const usec = keyedValues(files.read('cpu.stat'))['usage_usec'];
  const io = files.read('io.stat');
  const sum = (wanted: string): bigint | undefined =>
    io === undefined
      ? undefined
      : deviceLines(io)
          .flatMap(({ values }) => values.filter(([name]) => name === wanted))
          .reduce((total, [, value]) => total + value, 0n);
  return {
    cpu: usec === undefined ? undefined : usec * 1000n,
    memory: numberIn(files.read('memory.current')),
    memoryLimit: limitOf(files, 'memory.max'),
    pids: tasksOf(files),
    pidsLimit: limitOf(files, 'pids.max'),
    readBytes: sum('rbytes'),
    writtenBytes: sum('wbytes'),
  };
}

// ---- formats

/** One number, or "max"; undefined for anything else. */
export function numberIn(text: string | undefined): bigint | undefined {
  const word = text?.trim();
  if (word === 'max') return UNLIMITED;
  return word !== undefined && /^[0-9]{1,20}$/.test(word) ? BigInt(word) : undefined;
}

/** Flat keyed: `KEY VALUE` a line. A line of another form is passed over. */
export function keyedValues(text: string | undefined): Record<string, bigint> {
  const values: Record<string, bigint> = Object.create(null);
  for (const line of text?.split('\n') ?? []) {
    const [key, word, ...more] = line.split(' ');
    const value = more.length === 0 ? numberIn(word) : undefined;
    if (value !== undefined) values[key!] = value;
  }
  return values;
}

interface DeviceLine {
  readonly major: bigint;
  readonly minor: bigint;
  readonly values: (readonly [string, bigint])[];
}

/**
 * Nested keyed by device: `8:0 rbytes=1 wbytes=2 …`. Kernels of 5.10 to 5.18 write a device that has
 * nothing to tell without its end of line, so that two may stand in one.
 */
function deviceLines(text: string | undefined): DeviceLine[] {
  const lines: DeviceLine[] = [];
  for (const word of text?.split(/\s+/) ?? []) {
    const device = /^([0-9]+):([0-9]+)$/.exec(word);
    const pair = /^([a-z.]+)=([0-9]{1,20})$/.exec(word);
    if (device !== null) {
      lines.push({ major: BigInt(device[1]!), minor: BigInt(device[2]!), values: [] });
    } else if (pair !== null) {
      lines.at(-1)?.values.push([pair[1]!, BigInt(pair[2]!)]);
    }
  }
  return lines;
}

/** `some avg10=0.00 avg60=0.00 avg300=0.00 total=0` and `full …`; the shares are in percent. */
function pressureOf(text: string | undefined): Pressure | undefined {
  if (text === undefined) return undefined;
  const line = (kind: string): PressureLine | undefined => {
    const found = text.split('\n').find((one) => one.startsWith(`${kind} `));
    if (found === undefined) return undefined;
    const part = (name: string): string => new RegExp(` ${name}=([0-9.]+)`).exec(found)?.[1] ?? '0';
    const [avg10, avg60, avg300] = ['avg10', 'avg60', 'avg300'].map((name) => Number(part(name)));
    const total = numberIn(part('total')) ?? 0n;
    const nothing = avg10 === 0 && avg60 === 0 && avg300 === 0 && total === 0n;
    return nothing ? undefined : { avg10: avg10!, avg60: avg60!, avg300: avg300!, total };
  };
  return filled({ some: line('some'), full: line('full') });
}

// ---- keys that are left out

/** Without the entries that are zero or not known. */
function present<Key extends string>(
  values: Readonly<Record<Key, bigint | undefined>>,
): { [K in Key]?: bigint } {
  const entries = Object.entries<bigint | undefined>(values);
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined && value !== 0n)) as {
    [K in Key]?: bigint;
  };
}

/** Without the entries that are undefined. */
function filled<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

function sorted(values: Readonly<Record<string, bigint>>): Record<string, bigint> {
  const entries = Object.entries(values).sort(([left], [right]) => (left < right ? -1 : 1));
  return Object.fromEntries(entries);
}
