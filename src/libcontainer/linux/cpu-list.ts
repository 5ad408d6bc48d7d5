/** Lists of CPUs as the kernel writes them (cpuset(7), "List format"). No I/O. */

/** CONFIG_NR_CPUS is 8192 at most, on every architecture. */
const CPU_MAX = 8191;

/**
 * First and last CPU of each range of `0-3,7`. Spaces around an entry and empty entries are allowed,
 * as runc's configs.toCPUSet does; undefined when it is no such list.
 */
export function parseCpuList(list: string): [first: number, last: number][] | undefined {
  const ranges: [number, number][] = [];
  for (const entry of list.split(',').map((part) => part.trim())) {
    if (entry === '') continue;
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(entry);
    if (match === null) return undefined;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (first > last || last > CPU_MAX) return undefined;
    ranges.push([first, last]);
  }
  return ranges;
}
