/** What a container's process holds, op by op: nothing of the host (security.md P4, H15). */

import { describe, expect, test } from 'vitest';
import { defaultSpec } from '../../src/oci/default-spec.ts';
import { type Moment, type Trace, traceDescriptors } from './descriptors.ts';
import { createPrograms, execPrograms, type Scene } from './plan.ts';

const KEPT = { 3: 'kept 3', 4: 'kept 4' };

function moment(trace: Trace, section: RegExp): Moment {
  const found = trace.moments.find((one) => section.test(one.section));
  if (found === undefined) throw new Error(`no section ${section}`);
  return found;
}

const hook = { path: '/bin/hook' };
const everyNamespace = ['pid', 'network', 'ipc', 'uts', 'cgroup', 'time', 'user', 'mount'] as const;

const scenes: Record<string, Scene> = {
  'nothing special': {},
  'the default document': { config: defaultSpec({ rootless: false }) },
  'no mount namespace': { config: { linux: { namespaces: [] } } },
  'a terminal': {
    config: { ...defaultSpec({ rootless: false }) },
    options: { consoleSocket: '/run/console.sock', pidfdSocket: '/run/pidfd.sock' },
  },
  'a terminal of the foreground': {
    config: { ...defaultSpec({ rootless: false }) },
    options: { foregroundTerminal: true },
  },
  hooks: { config: { hooks: { createContainer: [hook, hook], startContainer: [hook] } } },
  'a user namespace, devices bound': {
    config: {
      linux: {
        namespaces: everyNamespace.map((type) => ({ type })),
        timeOffsets: { boottime: { secs: 1 } },
        sysctl: { 'net.ipv4.ip_forward': '1' },
      },
    },
  },
  'everything joined': {
    config: { linux: { namespaces: everyNamespace.map((type) => ({ type, path: `/n/${type}` })) } },
    options: { pidfdSocket: '/run/pidfd.sock' },
  },
  'everything but the user namespace joined': {
    config: {
      mounts: [{ destination: '/proc', type: 'proc', source: 'proc' }],
      linux: {
        namespaces: everyNamespace
          .filter((type) => type !== 'user')
          .map((type) => ({ type, path: `/n/${type}` })),
        maskedPaths: ['/proc/kcore', '/proc/scsi'],
        readonlyPaths: ['/proc/sys'],
      },
    },
    options: { pidfdSocket: '/run/pidfd.sock' },
  },
  'more bind mounts than slots': {
    config: {
      mounts: Array.from({ length: 600 }, (_, i) => ({
        destination: `/m/${i}`,
        source: `/srv/${i}`,
        options: ['bind', 'ro'],
      })),
    },
  },
  'more mounts than fit a program': {
    config: {
      mounts: Array.from({ length: 4000 }, (_, i) => ({
        destination: `/m/${i}`,
        type: 'tmpfs',
        options: ['mode=755'],
      })),
    },
  },
  'bind mounts, tmpcopyup, id-mapped, notify': {
    config: {
      process: { cwd: '/new/cwd', args: ['sh'], env: ['PATH=/bin'] },
      mounts: [
        { destination: '/a/b', source: '/a', options: ['rbind', 'idmap'] },
        { destination: '/f', source: '/f', options: ['bind'] },
        { destination: '/var', type: 'tmpfs', options: ['tmpcopyup', 'ro'] },
        { destination: '/a/b', options: ['remount', 'bind', 'ro'] },
      ],
      linux: {
        namespaces: [{ type: 'mount' }],
        uidMappings: [{ containerID: 0, hostID: 1000, size: 1 }],
        gidMappings: [{ containerID: 0, hostID: 1000, size: 1 }],
      },
    },
    facts: {
      nullStdio: [0, 2],
      sourceIsDirectory: [true, false, true, true],
      copyUp: new Map([[2, [{ path: 'f', kind: 'file', mode: 0o644, size: 1, uid: 0, gid: 0 }]]]),
    },
    options: { notifyDir: '/run/runcell/states/c1/notify' },
  },
};

describe.each(Object.entries(scenes))('%s', (name, scene) => {
  const kept: Scene = { ...scene, options: { ...scene.options, keepFds: 2 } };
  const programs = createPrograms(kept);

  test.each([false, true])('mount points missing: %s', (missing) => {
    const trace = traceDescriptors(programs, { initial: KEPT, missing });
    expect(trace.misuses).toEqual([]);
    const [standard, keptOnes] = [['0', '1', '2'], Object.values(KEPT)];
    const waiting = trace.moments.filter(({ section }) => section.startsWith('wait for start'));
    expect(waiting.map(({ open }) => open)).toEqual([
      [...standard, 'ctl', 'go', ...keptOnes, 'report', 'report kept'],
    ]);
    expect(trace.executed).toEqual([...standard, ...keptOnes, 'report kept']);
  });

  test('init begins with the root, the FIFOs and what it still needs, all by name', () => {
    const trace = traceDescriptors(programs, { initial: KEPT });
    const after = moment(trace, /^end on signals while waiting/).open;
    // A tree without a slot is known by its number, far above all others.
    const needed =
      /^([012]|kept [34]|ctl|root|go|report|console socket|tree of .*|[89]\d\d|1\d{3})$/;
    const joinsLater = /^(pid|cgroup) namespace$|^pidfd socket$/;
    const joins = name.startsWith('everything but');
    const isNeeded = (fd: string): boolean => needed.test(fd) || (joins && joinsLater.test(fd));
    expect(after.filter((fd) => !isNeeded(fd))).toEqual([]);
  });
});

describe('in a pid namespace that is joined', () => {
  const scene: Scene = {
    config: { linux: { namespaces: [{ type: 'mount' }, { type: 'pid', path: '/n/pid' }] } },
    options: { pidfdSocket: '/run/pidfd.sock' },
  };
  const trace = traceDescriptors(createPrograms(scene));

  test('the socket that gets the pidfd is open until the final clone, and not in the final init', () => {
    const [init, final] = trace.moments.filter(({ section }) => section === 'become a session');
    expect(init!.open).toContain('pidfd socket');
    expect(final!.open).not.toContain('pidfd socket');
  });

  test('no process in it holds anything of the host', () => {
    const final = trace.moments.findLast(({ section }) => section === 'become a session')!;
    expect(final.open).toEqual(['0', '1', '2', 'ctl', 'dev', 'go', 'report', 'root']);
  });
});

describe('exec', () => {
  const process = { cwd: '/', args: ['sh'], env: ['PATH=/bin'] };
  const namespaces = [...everyNamespace];
  const options = { keepFds: 2, pidfdSocket: '/run/pidfd.sock' };
  const initial = { 3: 'init pidfd', 4: 'kept 4' };

  test.each([
    ['plain', process, options],
    [
      'with a terminal',
      { ...process, terminal: true },
      { ...options, consoleSocket: '/run/console.sock' },
    ],
    ['foreground', { ...process, terminal: true }, { ...options, foregroundTerminal: true }],
  ])('%s: nothing of the stage is left', (_, given, plan) => {
    const trace = traceDescriptors(
      execPrograms({ process: given, namespaces }, { options: plan }),
      { initial },
    );
    expect(trace.misuses).toEqual([]);
    const standard = ['0', '1', '2'];
    const waiting = moment(trace, /^wait for the caller/).open;
    expect(waiting).toEqual([...standard, 'ctl', 'kept 4', 'report kept']);
    expect(trace.executed).toEqual([...standard, 'kept 4', 'report kept']);
  });
});
