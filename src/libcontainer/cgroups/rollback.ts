/**
 * What to write into a group's file to have again what was in it (admin-guide/cgroup-v2.rst, "Format"
 * and "Conventions"). Pure.
 *
 * Most files hold one value. Of a keyed file one line was written, `8:0 rbps=1000`, and its line is
 * written back, or that which means "nothing of its own".
 */

/** What takes a line's own settings away where it had none. */
const UNSET: { readonly [file: string]: string } = {
  'io.max': 'rbps=max wbps=max riops=max wiops=max',
  'io.weight': 'default',
  'io.bfq.weight': 'default',
  'rdma.max': 'hca_handle=max hca_object=max',
};

/** `before` is the whole content that the file had, `written` the value that was written to it. */
export function rollbackValue(file: string, written: string, before: string): string {
  const unset = UNSET[file];
  // An emptied list, as of cpuset.cpus: write(2) of nothing would do nothing.
  if (unset === undefined) return before.trim() === '' ? '\n' : before.trim();
  const [key = '', ...rest] = written.trim().split(' ');
  const own = rest.length > 0;
  const lines = before.split('\n').map((line) => line.trim());
  if (own) return lines.find((line) => line.startsWith(`${key} `)) ?? `${key} ${unset}`;
  const general = lines.find((line) => /^(default )?[0-9]+$/.test(line));
  return general ?? 'default 100';
}
