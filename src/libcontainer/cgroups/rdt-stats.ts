/**
 * Statistics of a container's class of service, with the keys of runc's events (`intel_rdt`):
 * l3_cache_info, l3_cache_schema_root, l3_cache_schema, the same of mem_bw, and mbm_stats and
 * cmt_stats with an entry a cache. Counters have 64 bits, so they are BigInt.
 */

import { classOf, type RdtState } from './intel-rdt.ts';
import type { Resctrl } from './resctrl.ts';
import { parseSchema } from './schemata.ts';

/** runc leaves out what is zero or empty. */
export type RdtStats = Record<string, unknown>;

/** `intel_rdt` of the statistics; {} for a container without a class. */
export function readRdtStats(state: RdtState | undefined, resctrl?: Resctrl): RdtStats {
  if (state === undefined) return {};
  const tree = resctrl ?? classOf(state);
  const stats: RdtStats = {};
  const [root, own] = [tree.read('', 'schemata'), tree.read(state.group, 'schemata')];
  if (tree.supports('L3')) {
    stats['l3_cache_info'] = info(tree, 'L3', ['cbm_mask'], ['min_cbm_bits', 'num_closids']);
    stats['l3_cache_schema_root'] = lineOf(root, /^L3/);
    stats['l3_cache_schema'] = lineOf(own, /^L3/);
  }
  if (tree.supports('MB')) {
    const numbers = ['bandwidth_gran', 'delay_linear', 'min_bandwidth', 'num_closids'];
    stats['mem_bw_info'] = info(tree, 'MB', [], numbers);
    stats['mem_bw_schema_root'] = lineOf(root, /^MB/);
    stats['mem_bw_schema'] = lineOf(own, /^MB/);
  }
  return { ...stats, ...counters(tree, state.monitoring ?? state.group) };
}

function info(
  tree: Resctrl,
  resource: string,
  texts: readonly string[],
  numbers: readonly string[],
): Record<string, string | bigint> {
  const directory = `info/${resource}`;
  const told: Record<string, string | bigint> = {};
  for (const name of texts) told[name] = tree.read(directory, name).trim();
  for (const name of numbers) {
    const value = BigInt(tree.read(directory, name).trim());
    if (value !== 0n) told[name] = value;
  }
  return told;
}

/** The line of a resource without the blanks that the kernel aligns it with. */
function lineOf(schemata: string, resource: RegExp): string {
  for (const line of schemata.split('\n')) {
    const text = line.trim();
    if (resource.test(text) && parseSchema(text) !== undefined) return text;
  }
  return '';
}

const MBM = ['mbm_total_bytes', 'mbm_local_bytes'];
const CMT = ['llc_occupancy'];

function counters(tree: Resctrl, group: string): RdtStats {
  if (!tree.supports('L3_MON')) return {};
  const features = tree.read('info/L3_MON', 'mon_features').split('\n');
  const stats: RdtStats = {};
  for (const [key, names] of [
    ['mbm_stats', MBM],
    ['cmt_stats', CMT],
  ] as const) {
    const there = names.filter((name) => features.includes(name));
    if (there.length === 0) continue;
    stats[key] = tree.domains(group).map((domain) => {
      const told = there
        .map((name) => [name, tree.read(group, `mon_data/${domain}/${name}`).trim()] as const)
        // "Unavailable" and "Error" are no numbers, and are nothing to tell.
        .filter(([, text]) => /^\d+$/.test(text));
      return Object.fromEntries(told.map(([name, text]) => [name, BigInt(text)]));
    });
  }
  return stats;
}
