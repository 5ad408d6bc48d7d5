/** Statistics of a class of service with runc's keys. */

import { expect, test } from 'vitest';
import { readRdtStats } from '../../../src/libcontainer/cgroups/rdt-stats.ts';
import { FakeResctrl } from './fake-resctrl.ts';

const state = (tree: FakeResctrl, monitoring?: string) => ({
  root: tree.root,
  group: 'gold',
  owned: false,
  ...(monitoring === undefined ? {} : { monitoring }),
});

test('everything that the machine has', () => {
  using tree = new FakeResctrl();
  tree.make('gold');
  tree.write('gold', 'schemata', 'MB:0=50\nL3:0=ff\n');
  tree.count('gold', 'mon_L3_01', 'mbm_total_bytes', '18446744073709551615');
  expect(readRdtStats(state(tree))).toEqual({
    l3_cache_info: { cbm_mask: 'fffff', min_cbm_bits: 1n, num_closids: 16n },
    l3_cache_schema_root: 'L3:0=fffff;1=fffff',
    l3_cache_schema: 'L3:0=ff',
    mem_bw_info: { bandwidth_gran: 10n, delay_linear: 1n, min_bandwidth: 10n, num_closids: 8n },
    mem_bw_schema_root: 'MB:0= 100;1= 100',
    mem_bw_schema: 'MB:0=50',
    mbm_stats: [
      { mbm_total_bytes: 0n, mbm_local_bytes: 0n },
      { mbm_total_bytes: 18446744073709551615n, mbm_local_bytes: 0n },
    ],
    cmt_stats: [{ llc_occupancy: 0n }, { llc_occupancy: 0n }],
  });
});

test('counters are those of the monitoring group where there is one', () => {
  using tree = new FakeResctrl(['L3_MON']);
  tree.make('gold');
  tree.make('gold/mon_groups/c1');
  tree.count('gold/mon_groups/c1', 'mon_L3_00', 'llc_occupancy', '4096');
  const stats = readRdtStats(state(tree, 'gold/mon_groups/c1'));
  expect(stats['cmt_stats']).toEqual([{ llc_occupancy: 4096n }, { llc_occupancy: 0n }]);
  expect(Object.keys(stats)).toEqual(['mbm_stats', 'cmt_stats']);
});

test('a counter that is not available for now is left out', () => {
  using tree = new FakeResctrl(['L3_MON']);
  tree.make('gold');
  tree.count('gold', 'mon_L3_00', 'llc_occupancy', 'Unavailable');
  expect(readRdtStats(state(tree))['cmt_stats']).toEqual([{}, { llc_occupancy: 0n }]);
});

test('a container without a class has none', () => {
  expect(readRdtStats(undefined)).toEqual({});
});
