/**
 * The test suite's projects: unit (no root, parallel), compat (the integration tests on the
 * distribution's runc, which must pass them first), integration (the same on dist/runcell), fault,
 * and vm (what only the test system can show: scripts/vm.ts runs it there, with integration).
 * scripts/test.ts runs all but the last and checks the list of skips.
 */

import { defineConfig } from 'vitest/config';
import { PATIENCE } from './test/helpers/eventually.ts';

/** Files with nothing that runc could judge. */
const RUNCELL_ONLY = [
  'default-root',
  'footprint',
  'launcher',
  'seccomp-load',
  'seccomp-oracle',
  'state-file',
  'storage',
  'top',
  'usage-document',
];

const rooted = {
  pool: 'forks' as const,
  // Containers on two cores; each file has its own process, which is the subreaper of its own.
  maxWorkers: 2,
  testTimeout: 60_000 * PATIENCE,
  hookTimeout: 60_000 * PATIENCE,
};

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts', 'test/golden/**/*.test.ts'],
          globalSetup: 'test/helpers/build.ts',
          pool: 'forks',
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...rooted,
          name: 'compat',
          include: ['test/integration/**/*.test.ts'],
          exclude: RUNCELL_ONLY.map((name) => `test/integration/${name}.test.ts`),
          env: { RUNCELL_TEST_RUNTIME: 'runc' },
          // Whole subjects may be newer than runc 1.1.5; vitest's types do not have it for a project.
          ...({ passWithNoTests: true } as object),
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...rooted,
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          globalSetup: 'test/helpers/build.ts',
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          ...rooted,
          name: 'fault',
          include: ['test/fault/**/*.test.ts'],
          globalSetup: 'test/helpers/build.ts',
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          ...rooted,
          name: 'vm',
          // These look at the whole tree of groups, which is nobody else's meanwhile.
          maxWorkers: 1,
          include: ['test/vm/**/*.test.ts'],
          globalSetup: 'test/helpers/build.ts',
          sequence: { groupOrder: 4 },
        },
      },
    ],
  },
});
