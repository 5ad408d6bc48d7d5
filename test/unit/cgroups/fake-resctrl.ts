/**
 * A directory in the place of a resctrl filesystem, for a machine without one. It does what the
 * kernel does at mkdir(2) and rmdir(2): a group has its files at once, and goes with them.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { Resctrl } from '../../../src/libcontainer/cgroups/resctrl.ts';

export const DEFAULT_SCHEMATA = '    MB:0= 100;1= 100\n    L3:0=fffff;1=fffff\n';

export class FakeResctrl extends Resctrl implements Disposable {
  constructor(resources: readonly string[] = ['L3', 'MB', 'L3_MON']) {
    super(mkdtempSync(`${tmpdir()}/resctrl-`));
    this.#fill(this.root, { isClass: true });
    const info = { L3: L3_INFO, MB: MB_INFO, L3_MON: MON_INFO } as Record<string, object>;
    for (const resource of resources) {
      mkdirSync(`${this.root}/info/${resource}`, { recursive: true });
      for (const [file, text] of Object.entries(info[resource] ?? {})) {
        writeFileSync(`${this.root}/info/${resource}/${file}`, text);
      }
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true });
  }

  /** What was last written to a group's tasks. */
  tasks(group: string): string {
    return readFileSync(`${this.path(group)}/tasks`, 'latin1');
  }

  schemata(group: string): string {
    return readFileSync(`${this.path(group)}/schemata`, 'latin1');
  }

  lastStatus(text: string): void {
    mkdirSync(`${this.root}/info`, { recursive: true });
    writeFileSync(`${this.root}/info/last_cmd_status`, text);
  }

  /** A counter of a group. */
  count(group: string, domain: string, counter: string, value: string): void {
    writeFileSync(`${this.path(group)}/mon_data/${domain}/${counter}`, `${value}\n`);
  }

  protected override makeDirectory(path: string): void {
    super.makeDirectory(path);
    this.#fill(path, { isClass: !path.includes('/mon_groups/') });
  }

  protected override removeDirectory(path: string): void {
    rmSync(path, { recursive: true });
  }

  #fill(path: string, { isClass }: { readonly isClass: boolean }): void {
    writeFileSync(`${path}/tasks`, '');
    for (const domain of ['mon_L3_00', 'mon_L3_01']) {
      mkdirSync(`${path}/mon_data/${domain}`, { recursive: true });
      for (const counter of ['llc_occupancy', 'mbm_total_bytes', 'mbm_local_bytes']) {
        writeFileSync(`${path}/mon_data/${domain}/${counter}`, '0\n');
      }
    }
    if (!isClass) return;
    writeFileSync(`${path}/schemata`, DEFAULT_SCHEMATA);
    mkdirSync(`${path}/mon_groups`);
  }
}

const L3_INFO = { cbm_mask: 'fffff\n', min_cbm_bits: '1\n', num_closids: '16\n' };
const MB_INFO = {
  bandwidth_gran: '10\n',
  delay_linear: '1\n',
  min_bandwidth: '10\n',
  num_closids: '8\n',
};
const MON_INFO = { mon_features: 'llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n' };
