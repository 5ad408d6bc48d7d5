/**
 * linux.resources.devices in real containers: what may be opened and made, and what is EPERM, whatever
 * nodes there are (runtime-spec 1.3 config-linux.md#allowed-device-list; GHSA-g54h-m393-cpwq).
 *
 * runc judges most of it, by the cgroup v1 controller or by its own filter. Devices are told apart by
 * their errors: EPERM is the filter's, ENXIO says that it let the open through to a driver that is not
 * there. Majors 60 to 63 are for local use (Documentation/admin-guide/devices.txt): nothing has them.
 */

import { type ChildProcess, execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect } from 'vitest';
import {
  attachedFilters,
  replaceDeviceFilter,
} from '../../src/libcontainer/cgroups/device-attach.ts';
import {
  ANY,
  compileDeviceFilter,
  compileDeviceRules,
  type DeviceRule,
} from '../../src/libcontainer/cgroups/device-filter.ts';
import { refusal } from '../helpers/box.ts';
import { attachForeignFilter, type DeviceRequest, runFilter } from '../helpers/bpf.ts';
import { check } from '../helpers/check.ts';
import { onDeviceFilesystem } from '../helpers/device-filesystem.ts';
import { eventually } from '../helpers/eventually.ts';
import { cgroup2Root, cgroupsNamed } from '../helpers/proc.ts';
import { isRuncell, runtime } from '../helpers/runtime.ts';
import { type Spec, useUserNamespace } from '../helpers/spec.ts';

const DENY_ALL = { allow: false, access: 'rwm' };

type Rule = Record<string, unknown>;

/** Rules and nodes; the container may make nodes in /tmp. */
function withDevices(rules: readonly Rule[], nodes: readonly Rule[] = []) {
  return (spec: Spec): void => {
    spec.linux.resources = { devices: [...rules] };
    spec.linux.devices = nodes.map((node) => ({ fileMode: 0o666, ...node }));
    spec.mounts.push({
      destination: '/tmp',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['mode=777'],
    });
    for (const set of ['bounding', 'effective', 'permitted'] as const) {
      spec.process.capabilities![set]!.push('CAP_MKNOD');
    }
  };
}

const LOCAL_CHAR = { path: '/dev/c60', type: 'c', major: 60, minor: 1 };
const LOCAL_BLOCK = { path: '/dev/b60', type: 'b', major: 60, minor: 1 };
const NODES = [LOCAL_CHAR, LOCAL_BLOCK];

/** A script that says of each redirection what became of it: `ok`, or the error's text. */
function tries(redirections: readonly string[]): string {
  return redirections
    .map(
      (one) => `if (exec 3${one}) 2>/tmp/error; then echo ok; else sed 's/.*: //' /tmp/error; fi`,
    )
    .join('\n');
}

const EPERM = 'Operation not permitted';
const ENXIO = 'No such device or address';

describe('device rules', () => {
  check('a device that no rule names is EPERM, the standard ones work', async (box) => {
    const opens = ['</dev/null', '>/dev/null', '<>/dev/zero', '</dev/urandom', '>/dev/full'];
    const denied = ['</dev/c60', '</dev/b60', '>/dev/b60', '</dev/mem', '</dev/sda', '<>/dev/fuse'];
    const nodes = [
      ...NODES,
      { path: '/dev/mem', type: 'c', major: 1, minor: 1 },
      { path: '/dev/sda', type: 'b', major: 8, minor: 0 },
      { path: '/dev/fuse', type: 'c', major: 10, minor: 229 },
    ];
    const out = await box.sh(tries([...opens, ...denied]), withDevices([DENY_ALL], nodes));
    expect(out.split('\n')).toEqual([...opens.map(() => 'ok'), ...denied.map(() => EPERM)]);
  });

  check('without any rule nothing is allowed but the standard devices', async (box) => {
    const out = await box.sh(tries(['</dev/null', '</dev/b60']), withDevices([], NODES));
    expect(out).toBe(`ok\n${EPERM}`);
  });

  check('rules that only allow leave everything else denied', async (box) => {
    const rules = [{ allow: true, type: 'c', major: 60, minor: 1, access: 'rwm' }];
    const out = await box.sh(tries(['</dev/c60', '</dev/b60']), withDevices(rules, NODES));
    expect(out).toBe(`${ENXIO}\n${EPERM}`);
  });

  check('access is by letter, number and type', async (box) => {
    const nodes = [...NODES, { path: '/dev/b61', type: 'b', major: 61, minor: 7 }];
    const rules = [
      DENY_ALL,
      { allow: true, type: 'c', major: 60, minor: 1, access: 'r' },
      { allow: true, type: 'b', major: 61, access: 'w' },
    ];
    const script = tries([
      ...['</dev/c60', '>/dev/c60', '<>/dev/c60'],
      ...['>/dev/b61', '</dev/b61', '</dev/b60', '>/dev/b60'],
    ]);
    const out = await box.sh(script, withDevices(rules, nodes));
    expect(out.split('\n')).toEqual([ENXIO, EPERM, EPERM, ENXIO, EPERM, EPERM, EPERM]);
  });

  check('the last rule about a device counts', async (box) => {
    const rule = { type: 'c', major: 60, minor: 1 };
    const given = { ...rule, allow: true, access: 'rw' };
    const script = tries(['</dev/c60', '>/dev/c60']);
    const taken = withDevices([DENY_ALL, given, { ...rule, allow: false, access: 'w' }], NODES);
    expect(await box.sh(script, taken)).toBe(`${ENXIO}\n${EPERM}`);
    expect(await box.sh(script, withDevices([given, DENY_ALL], NODES))).toBe(`${EPERM}\n${EPERM}`);
  });

  check('everything is allowed but what is denied afterwards', async (box) => {
    const rules = [
      { allow: true, access: 'rwm' },
      { allow: false, type: 'b', major: 60, minor: 1, access: 'rw' },
    ];
    const out = await box.sh(tries(['<>/dev/c60', '</dev/b60']), withDevices(rules, NODES));
    expect(out).toBe(`${ENXIO}\n${EPERM}`);
  });

  check('a node of linux.devices is not allowed by being there', async (box) => {
    const zero = { path: '/dev/zero', type: 'c', major: 1, minor: 5 };
    const out = await box.sh(tries(['</dev/zero', '</dev/null']), withDevices([DENY_ALL], [zero]));
    expect(out).toBe(`${EPERM}\nok`);
  });

  check('any node can be made, and not opened', async (box) => {
    const script = [
      'mknod /tmp/a c 60 2 && mknod /tmp/b b 60 2 && echo made',
      tries(['</tmp/a', '</tmp/b']),
    ].join('\n');
    expect(await box.sh(script, withDevices([DENY_ALL]))).toBe(`made\n${EPERM}\n${EPERM}`);
  });

  check('in a user namespace they hold too', async (box) => {
    const zero = { path: '/dev/zero', type: 'c', major: 1, minor: 5 };
    const out = await box.sh(tries(['</dev/zero', '</dev/null']), (spec) => {
      withDevices([DENY_ALL], [zero])(spec);
      useUserNamespace(spec);
    });
    expect(out).toBe(`${EPERM}\nok`);
  });

  check('hold for exec', async (box) => {
    const rules = [DENY_ALL, { allow: true, type: 'c', major: 60, minor: 1, access: 'r' }];
    const container = await box.start(box.bundle(['sleep', '1000'], withDevices(rules, NODES)));
    const out = await box.exec(container, ['sh', '-c', tries(['</dev/c60', '</dev/b60'])]);
    expect(out).toBe(`${ENXIO}\n${EPERM}`);
  });

  check('let a terminal and a pseudo-terminal of its own work', async (box) => {
    const out = await box.sh(tries(['<>/dev/ptmx', '</dev/tty']), withDevices([DENY_ALL]));
    expect(out).toBe(`ok\n${ENXIO}`);
  });
});

const OURS = { notRunc: 'the filter is runcell’s', cgroup2: true } as const;

describe('the filter', () => {
  check('is there when a container is created, once', OURS, async (box) => {
    const { id } = await box.create(box.bundle(['true']));
    const [group] = cgroupsNamed(id);
    expect(attachedFilters(group!)).toEqual({ ours: [expect.any(Number)], others: [] });
  });

  check('takes the place of one that an earlier container left in the group', OURS, async (box) => {
    const group = `${cgroup2Root()}/${box.tag}given`;
    mkdirSync(group);
    try {
      for (const access of ['r', 'w']) {
        const out = await box.sh(tries(['</dev/c60', '>/dev/c60']), (spec) => {
          const rule = { allow: true, type: 'c', major: 60, minor: 1, access };
          withDevices([DENY_ALL, rule], NODES)(spec);
          spec.linux.cgroupsPath = `/${box.tag}given`;
        });
        expect(out).toBe(access === 'r' ? `${ENXIO}\n${EPERM}` : `${EPERM}\n${ENXIO}`);
        mkdirSync(group, { recursive: true });
      }
    } finally {
      rmdirSync(group);
    }
  });

  check('is replaced in a running container, with no moment without', OURS, async (box) => {
    const loop = `while :; do for f in c60 b60; do (exec 3</dev/$f) 2>>/tmp/$f; done; done`;
    const container = await box.start(
      box.bundle(['sh', '-c', loop], withDevices([DENY_ALL], NODES)),
    );
    const [group] = cgroupsNamed(container.id);
    const [before] = attachedFilters(group!).ours;
    const open = { allow: true, type: 'c', major: 60, minor: 1, access: 'r' };
    const replace = (devices: (typeof open)[]): void => {
      replaceDeviceFilter(group!, compileDeviceFilter({ resources: { devices } }));
    };
    // On a busy machine the container may sleep through every moment of the two hundred.
    const said = `/proc/${container.pid}/root/tmp/c60`;
    replace([open]);
    await eventually('an open that is allowed', () => readFileSync(said, 'utf8').includes(ENXIO));
    for (let i = 0; i < 200; i++) replace(i % 2 === 0 ? [open] : []);
    const after = attachedFilters(group!);
    expect(after.ours).toHaveLength(1);
    expect(after.ours[0]).not.toBe(before);
    const kinds = await box.exec(container, [
      ...['sh', '-c', "for f in c60 b60; do sed 's/.*: //' /tmp/$f | sort -u; echo; done"],
    ]);
    expect(kinds.trimEnd()).toBe(`${ENXIO}\n${EPERM}\n\n${EPERM}`);
  });

  check('that another program attached stays, and both have to allow', OURS, async (box) => {
    const container = await box.start(
      box.bundle(['sleep', '1000'], withDevices([DENY_ALL], NODES)),
    );
    const [group] = cgroupsNamed(container.id);
    const rule = { allow: true, type: 'c', major: 60, minor: 1, access: 'rw' };
    const open = compileDeviceFilter({ resources: { devices: [rule] } });
    const readOnly = { ...rule, access: 'r' };
    attachForeignFilter(group!, compileDeviceFilter({ resources: { devices: [readOnly] } }));
    for (let i = 0; i < 3; i++) replaceDeviceFilter(group!, open);
    const { ours, others } = attachedFilters(group!);
    expect([ours.length, others.length]).toEqual([1, 1]);
    const out = await box.exec(container, ['sh', '-c', tries(['</dev/c60', '>/dev/c60'])]);
    expect(out).toBe(`${ENXIO}\n${EPERM}`);
  });

  check('answers in the kernel as on the machine of the unit tests', OURS, async (box) => {
    const numbers = { major: fc.constantFrom(ANY, 60, 61), minor: fc.constantFrom(ANY, 0, 1, 7) };
    const rule: fc.Arbitrary<DeviceRule> = fc.record({
      ...numbers,
      allow: fc.boolean(),
      type: fc.constantFrom('b', 'c'),
      access: fc.integer({ min: 1, max: 7 }),
    });
    const rules = fc.sample(fc.array(rule, { minLength: 2, maxLength: 9 }), 6);
    const asked = REQUESTS.map(
      ({ type, major, minor, access }) => `${type} ${major}:${minor} ${access}`,
    );
    const compare = async (group: string, cwd: string) => {
      for (const list of rules) {
        const filter = compileDeviceRules(list);
        replaceDeviceFilter(group, filter);
        const { stdout } = await box.command('sh', ['-c', ORACLE, 'sh', group, ...asked], { cwd });
        const expected = REQUESTS.map((one) => (runFilter(filter, one) === 1 ? 'yes' : 'no'));
        expect(stdout.trimEnd().split('\n'), JSON.stringify(list)).toEqual(expected);
      }
    };
    await inGroup('oracle', (group) => onDeviceFilesystem(box, (dir) => compare(group, dir)));
  });

  check('that the verifier does not take is told in its words', OURS, async () => {
    await inGroup('refused', (group) => {
      const exit = Uint8Array.of(0x95, 0, 0, 0, 0, 0, 0, 0);
      expect(() => replaceDeviceFilter(group, exit)).toThrow(
        /^linux\.resources\.devices: load the device filter: .*R0.* \(EACCES\)/,
      );
      expect(attachedFilters(group)).toEqual({ ours: [], others: [] });
    });
  });
});

const REQUESTS: readonly DeviceRequest[] = (['b', 'c'] as const).flatMap((type) =>
  [60, 61].flatMap((major) =>
    [0, 1, 7].flatMap((minor) =>
      ['r', 'w', 'rw', 'm'].map((access) => ({ type, major, minor, access })),
    ),
  ),
);

/** Asks the kernel: a shell in the group `$1` says of each request whether it is not EPERM. */
const ORACLE = `
group=$1; shift
make() { [ -e node-$1-$2 ] || mknod node-$1-$2 $1 \${2%:*} \${2#*:}; }
ask() {
  node=node-$1-$2
  case $3 in
    r) (exec 3<$node);;
    w) (exec 3>$node);;
    rw) (exec 3<>$node);;
    m) mknod new $1 \${2%:*} \${2#*:} && rm new;;
  esac 2>error
  if grep -q 'not permitted' error; then echo no; else echo yes; fi
}
for one in "$@"; do make $one; done
echo 0 > $group/cgroup.procs
for one in "$@"; do ask $one; done`;

async function inGroup(name: string, body: (group: string) => void | Promise<void>): Promise<void> {
  const group = `${cgroup2Root()}/rct${process.pid}${name}`;
  mkdirSync(group);
  try {
    await body(group);
  } finally {
    rmdirSync(group);
  }
}

/** Maps all ids of the child to themselves, once it is in a user namespace of its own. */
function mapAllIds({ pid }: ChildProcess): void {
  const own = readlinkSync('/proc/self/ns/user');
  void eventually('a user namespace', () => readlinkSync(`/proc/${pid}/ns/user`) !== own).then(
    () => {
      for (const file of ['uid_map', 'gid_map']) writeFileSync(`/proc/${pid}/${file}`, '0 0 65536');
    },
  );
}

describe('a caller that may load no filter', () => {
  const REFUSED = { notRunc: 'has a v1 controller here', tool: 'strace' };
  check('as root is told what it lacks', REFUSED, async (box) => {
    const bundle = box.bundle(['true']);
    const inject = ['-f', '-qq', '-o', box.path('trace'), '-e', 'inject=bpf:error=EPERM'];
    const run = [runtime.path, '--root', box.root, 'run', '--bundle', bundle.dir, box.id()];
    const line = refusal(await box.command('strace', [...inject, ...run]));
    expect(line).toMatch(/linux\.resources\.devices: attach the device filter.*EPERM.*CAP_BPF/);
  });

  const NESTED = { notRunc: 'says nothing about it', tool: 'unshare' };
  check('in a user namespace is warned, and the container runs', NESTED, async (box) => {
    const bundle = box.bundle(['sh', '-c', 'echo runs'], (spec) => {
      // What root of a user namespace may not do has nothing to do with devices.
      spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'network');
      spec.mounts = spec.mounts.filter(({ type }) => type !== 'sysfs');
      spec.mounts = spec.mounts.filter(({ destination }) => !destination.startsWith('/dev'));
      const options = ['rbind'];
      spec.mounts.push({ destination: '/dev', type: 'bind', source: '/dev', options });
      spec.process.capabilities = {};
    });
    const log = box.path('log');
    const run = [runtime.path, '--root', box.root, '--log', log, 'run', '--bundle', bundle.dir];
    const wait = 'until read -r ids < /proc/self/uid_map; do sleep 0.01; done; exec "$@"';
    const command = ['-U', '-m', 'sh', '-c', wait, 'sh', ...run, box.id()];
    const outcome = await box.command('unshare', command, { onSpawn: mapAllIds });
    expect([readFileSync(log, 'utf8'), outcome.stdout, outcome.status]).toEqual([
      expect.stringMatching(/linux\.resources\.devices: not enforced/),
      'runs\n',
      0,
    ]);
  });
});

describe('a file system on a block device', () => {
  check(
    'is mounted though the container may not open the device',
    { tool: 'mkfs.ext4' },
    async (box) => {
      const image = box.path('image');
      writeFileSync(image, Buffer.alloc(4 << 20));
      execFileSync('mkfs.ext4', ['-q', image]);
      const device = execFileSync('losetup', ['--find', '--show', image], {
        encoding: 'utf8',
      }).trim();
      try {
        const numbers = { major: 7, minor: Number(device.replace('/dev/loop', '')) };
        const script = `ls -d /mnt/lost+found; ${tries(['</dev/disk'])}`;
        const out = await box.sh(script, (spec) => {
          withDevices([DENY_ALL], [{ path: '/dev/disk', type: 'b', ...numbers }])(spec);
          spec.mounts.push({ destination: '/mnt', type: 'ext4', source: device, options: ['ro'] });
        });
        expect(out).toBe(`/mnt/lost+found\n${EPERM}`);
      } finally {
        execFileSync('losetup', ['--detach', device]);
      }
    },
  );
});

describe('linux.resources.devices is refused', () => {
  const REFUSED: readonly [string, Rule, RegExp][] = [
    ['a FIFO', { allow: true, type: 'p', access: 'r' }, /devices\[1\]\.type/],
    ['no access', { allow: true, type: 'c', major: 1, minor: 3 }, /devices\[1\]\.access/],
  ];
  for (const [what, rule, field] of REFUSED) {
    check(`for ${what}`, async (box) => {
      const line = refusal(await box.run(box.bundle(['true'], withDevices([DENY_ALL, rule]))));
      if (isRuncell) expect(line).toMatch(field);
    });
  }
});
