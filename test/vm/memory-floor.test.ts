/**
 * The smallest `memory.limit` with which a container running busybox `true` starts and ends well: of
 * runcell, crun and runc side by side, on one system, with one bundle. Prints the three numbers.
 *
 * What counts against the limit is what init does before it becomes the program: namespaces, mounts,
 * page tables, and its own pages, of which the executor has a handful (peers.md §4: crun publishes
 * 512 KB, runc needs megabytes). A limit is good when three runs with it end with 0.
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, rmdirSync } from 'node:fs';
import { describe, expect } from 'vitest';
import type { Box, Bundle } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { cgroup2Root } from '../helpers/proc.ts';
import { repository, which } from '../helpers/runtime.ts';

const STEP = 16 << 10;
const CEILING = 64 << 20;
const ROUNDS = 3;

interface Runtime {
  readonly name: string;
  readonly path: string;
}

/** Whether one container with this limit runs. */
function runs(box: Box, { name, path }: Runtime, bundle: Bundle, limit: number): boolean {
  const id = box.id();
  box.rewrite(bundle, (spec) => {
    spec.linux.resources = { ...spec.linux.resources, memory: { limit, swap: limit } };
    spec.linux.cgroupsPath = `/${box.tag}-floor/${id}`;
  });
  const root = ['--root', box.path(`${name}-root`)];
  const options = { stdio: 'ignore', timeout: 60_000, killSignal: 'SIGKILL' } as const;
  const { status } = spawnSync(path, [...root, 'run', '--bundle', bundle.dir, id], options);
  if (status !== 0) spawnSync(path, [...root, 'delete', '--force', id], options);
  return status === 0;
}

/** Every round: one success may be luck, since the kernel counts in batches. */
function isGood(box: Box, runtime: Runtime, bundle: Bundle, limit: number): boolean {
  for (let round = 0; round < ROUNDS; round++) if (!runs(box, runtime, bundle, limit)) return false;
  return true;
}

function floorOf(box: Box, runtime: Runtime, bundle: Bundle): number {
  let bad = 0;
  let good = STEP;
  while (!isGood(box, runtime, bundle, good)) {
    if (good >= CEILING) throw new Error(`${runtime.name} does not run with ${good} bytes`);
    bad = good;
    good *= 2;
  }
  while (good - bad > STEP) {
    const middle = bad + Math.floor((good - bad) / 2 / STEP) * STEP;
    if (isGood(box, runtime, bundle, middle)) good = middle;
    else bad = middle;
  }
  return good;
}

describe('the smallest memory limit with which a container starts', () => {
  const need = { controller: 'memory', tool: 'crun', timeoutMs: 900_000 } as const;

  check('is below that of crun and of runc', need, async (box) => {
    const top = `${cgroup2Root()}/${box.tag}-floor`;
    mkdirSync(top);
    const bundle = box.bundle(['/bin/busybox', 'true']);
    const runtimes = [
      { name: 'runcell', path: `${repository}/dist/runcell` },
      { name: 'crun', path: which('crun')! },
      { name: 'runc', path: which('runc')! },
    ];
    const floors = runtimes.map((runtime) => floorOf(box, runtime, bundle));
    const [runcell, crun, runc] = floors.map((bytes) => bytes / 1024);
    console.log(`smallest memory.limit, KiB: runcell ${runcell}, crun ${crun}, runc ${runc}`);
    rmdirSync(top);
    expect(runcell).toBeLessThan(crun!);
    expect(runcell).toBeLessThan(runc!);
  });
});
