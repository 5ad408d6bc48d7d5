/**
 * `linux.netDevices`: interfaces go to the container's network namespace with their addresses and
 * come back when it cannot be created. runtime-spec 1.3 config-linux.md#network-devices;
 * rtnetlink(7), network_namespaces(7).
 */

import { readFileSync } from 'node:fs';
import { describe, expect } from 'vitest';
import { type Box, refusal } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { eventually } from '../helpers/eventually.ts';
import { type HostNetwork, interfacesOf, withNetwork } from '../helpers/host-network.ts';
import { dropNamespace, type Spec, setNamespace, useUserNamespace } from '../helpers/spec.ts';

const own = { tool: 'ip', notRunc: 'runc has linux.netDevices since 1.4' } as const;

type Devices = Record<string, { name?: string }>;

const withDevices =
  (netDevices: Devices) =>
  (spec: Spec): void => {
    Object.assign(spec.linux, { netDevices });
  };

/** `rcd0` with everything that an interface can have. */
function prepare(host: HostNetwork): void {
  host.veth('rcd0', 'rcp0');
  host.ip('link set rcd0 mtu 1400 up');
  host.ip('address add 10.9.8.7/24 dev rcd0 label rcd0:x');
  host.ip('address add 10.9.8.8/24 dev rcd0');
  host.ip('address add 10.1.1.1 peer 10.1.1.2 dev rcd0');
  host.ip('address add 10.9.8.9/24 valid_lft 1000 preferred_lft 500 dev rcd0');
  host.ip('address add 169.254.3.3/16 scope link dev rcd0');
  host.ip('address add fd00::5/64 nodad dev rcd0');
  host.ip('address add fd00::6/64 nodad noprefixroute dev rcd0');
}

const GLOBAL = ['10.1.1.1/32', '10.9.8.7/24', '10.9.8.8/24', 'fd00::5/64', 'fd00::6/64'];

describe('linux.netDevices', () => {
  check('an interface moves with its permanent global addresses, mtu, state', own, async (box) => {
    await withNetwork(box, async (host) => {
      prepare(host);
      const before = host.interface('rcd0')!;
      const { id, pid } = await host.create(box.bundle(['true'], withDevices({ rcd0: {} })));
      const moved = interfacesOf(pid).find(({ name }) => name === 'rcd0')!;
      expect(moved).toMatchObject({ mtu: 1400, isUp: true, index: before.index });
      const kept = before.addresses.filter(({ text }) => GLOBAL.includes(text));
      const global = moved.addresses.filter(({ scope }) => scope === 'global');
      expect(global.map(({ text }) => text).sort()).toEqual(GLOBAL);
      expect(global).toEqual(kept);
      expect(host.interface('rcd0')).toBeUndefined();
      await box.silent(['delete', '--force', id]);
    });
  });

  check('a new name, also one that the kernel completes', own, async (box) => {
    await withNetwork(box, async (host) => {
      prepare(host);
      host.veth('rcd1', 'rcp1');
      const devices = { rcd0: { name: 'net0' }, rcd1: { name: 'net%d' } };
      const { pid } = await host.create(box.bundle(['true'], withDevices(devices)));
      const there = interfacesOf(pid);
      expect(there.map(({ name }) => name).sort()).toEqual(['lo', 'net0', 'net1']);
      const renamed = there.find(({ name }) => name === 'net0')!;
      const labels = renamed.addresses.map(({ label }) => label).filter(Boolean);
      expect(labels).toContain('net0:x');
      expect(labels.every((label) => label!.startsWith('net0'))).toBe(true);
    });
  });

  check('two interfaces exchange their names', own, async (box) => {
    await withNetwork(box, async (host) => {
      host.veth('rcd0', 'rcp0');
      host.veth('rcd1', 'rcp1');
      const [first, second] = [host.interface('rcd0')!, host.interface('rcd1')!];
      const devices = { rcd0: { name: 'rcd1' }, rcd1: { name: 'rcd0' } };
      const { pid } = await host.create(box.bundle(['true'], withDevices(devices)));
      const there = new Map(interfacesOf(pid).map(({ name, index }) => [name, index]));
      expect(there.get('rcd1')).toBe(first.index);
      expect(there.get('rcd0')).toBe(second.index);
    });
  });

  check('hooks see it in the namespace, and run goes on to the program', own, async (box) => {
    await withNetwork(box, async (host) => {
      host.veth('rcd0', 'rcp0');
      const seen = box.path('seen');
      const script = `nsenter -t $(sed 's/.*"pid":\\([0-9]*\\).*/\\1/') -n ip link > ${seen}`;
      const bundle = box.bundle(['ip', 'address', 'show', 'dev', 'eth7'], (spec) => {
        withDevices({ rcd0: { name: 'eth7' } })(spec);
        const hook = { path: '/bin/sh', args: ['sh', '-c', script], env: [`PATH=${PATH}`] };
        spec.hooks = { createRuntime: [hook] };
      });
      const outcome = await host.verb(['run', '--bundle', bundle.dir, box.id()]);
      expect(outcome).toMatchObject({ status: 0, stderr: '' });
      expect(outcome.stdout).toContain('eth7');
      expect(readFileSync(seen, 'latin1')).toContain('eth7');
    });
  });

  check('a user namespace of the container makes no difference', own, async (box) => {
    await withNetwork(box, async (host) => {
      prepare(host);
      const bundle = box.bundle(['true'], (spec) => {
        useUserNamespace(spec);
        withDevices({ rcd0: { name: 'eth0' } })(spec);
      });
      const { pid } = await host.create(bundle);
      const moved = interfacesOf(pid).find(({ name }) => name === 'eth0')!;
      expect(moved.addresses.map(({ text }) => text)).toEqual(expect.arrayContaining(GLOBAL));
    });
  });

  check('in a namespace joined by path it stays when the container is gone', own, async (box) => {
    await withNetwork(box, async (host) => {
      await withNetwork(
        box,
        async (pod) => {
          prepare(host);
          pod.veth('eth0', 'peer0');
          const { index } = host.interface('rcd0')!;
          expect(pod.interfaces().some((one) => one.index === index)).toBe(true);
          const bundle = box.bundle(['true'], (spec) => {
            setNamespace(spec, { type: 'network', path: pod.file });
            withDevices({ rcd0: { name: 'eth%d' } })(spec);
          });
          const { id } = await host.create(bundle);
          await box.silent(['delete', '--force', id]);
          const moved = pod.interface('eth1')!;
          expect(moved.index).not.toBe(index);
          expect(moved.addresses.map(({ text }) => text)).toEqual(expect.arrayContaining(GLOBAL));
          expect(host.interface('rcd0')).toBeUndefined();
        },
        'pod',
      );
    });
  });
});

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

const failingHook = (script: string) => (spec: Spec) => {
  const hook = { path: '/bin/sh', args: ['sh', '-c', script], env: [`PATH=${PATH}`] };
  spec.hooks = { createRuntime: [hook] };
};

/** A create there that must fail, with its line. */
async function refused(box: Box, host: HostNetwork, patch: (spec: Spec) => void): Promise<string> {
  const bundle = box.bundle(['true'], patch);
  return refusal(await host.verb(['create', '--bundle', bundle.dir, box.id()]));
}

describe('linux.netDevices, a create that fails', () => {
  check('everything is back: name, index, addresses, mtu, master, state', own, async (box) => {
    await withNetwork(box, async (host) => {
      prepare(host);
      host.veth('rcd1', 'rcp1');
      host.ip('link add rcbr type bridge');
      host.ip('link set rcd1 master rcbr');
      const moved = () => host.interfaces().filter(({ name }) => name.startsWith('rcd'));
      const before = moved();
      const devices = { rcd0: { name: 'eth0' }, rcd1: { name: 'x%d' } };
      // What a hook changes there does not come back with it.
      const change =
        'nsenter -t $(sed \'s/.*"pid":\\([0-9]*\\).*/\\1/\') -n ip link set eth0 mtu 900';
      const line = await refused(box, host, (spec) => {
        withDevices(devices)(spec);
        failingHook(`${change} || exit 4; exit 3`)(spec);
      });
      expect(line).toMatch(/hooks\.createRuntime\[0\] \/bin\/sh: exit status 3/);
      expect(before.map(({ master }) => master)).toContain('rcbr');
      expect(moved()).toEqual(before);
    });
  });

  check('after a failure in init, in a namespace that is joined', own, async (box) => {
    await withNetwork(box, async (host) => {
      await withNetwork(
        box,
        async (pod) => {
          prepare(host);
          const [before, there] = [host.interfaces(), pod.interfaces()];
          const line = await refused(box, host, (spec) => {
            setNamespace(spec, { type: 'network', path: pod.file });
            withDevices({ rcd0: {} })(spec);
            spec.mounts.push({ destination: '/x', type: 'nosuch', source: 'x' });
          });
          expect(line).toMatch(/mounts\[\d+\]: mount nosuch/);
          expect(host.interfaces()).toEqual(before);
          expect(pod.interfaces()).toEqual(there);
        },
        'pod',
      );
    });
  });

  check('when the runtime is killed they come back by themselves', own, async (box) => {
    await withNetwork(box, async (host) => {
      prepare(host);
      const before = host.interfaces();
      const bundle = box.bundle(['true'], (spec) => {
        withDevices({ rcd0: { name: 'eth0' } })(spec);
        failingHook('kill -9 $PPID')(spec);
      });
      const id = box.id();
      const killed = await host.verb(['create', '--bundle', bundle.dir, id], { detached: true });
      expect(killed.signal).toBe('SIGKILL');
      await eventually('it is back', () => host.interface('rcd0')?.isUp === true);
      expect(host.interfaces()).toEqual(before);
      await box.silent(['delete', '--force', id]);
    });
  });

  check('one whose name is taken meanwhile comes back as another', own, async (box) => {
    await withNetwork(box, async (host) => {
      host.veth('rcd0', 'rcp0');
      const line = await refused(box, host, (spec) => {
        withDevices({ rcd0: { name: 'eth0' } })(spec);
        failingHook('ip link add rcd0 type bridge; ip link add eth0 type bridge; exit 3')(spec);
      });
      expect(line).toContain('while undoing: linux.netDevices["rcd0"]: move rcd0 back: netlink');
      expect(line).toContain('(EEXIST)');
      expect(line).toContain('under another name');
      expect(host.names()).toContainEqual(expect.stringMatching(/^dev\d$/));
    });
  });
});

describe('linux.netDevices, what cannot be', () => {
  check('a name that is there, with the interface untouched', own, async (box) => {
    await withNetwork(box, async (host) => {
      prepare(host);
      const before = host.interfaces();
      const devices = { rcd0: { name: 'lo' } };
      expect(await refused(box, host, withDevices(devices))).toContain(
        'linux.netDevices["rcd0"].name lo: the container\'s network namespace has an interface',
      );
      expect(host.interfaces()).toEqual(before);
    });
  });

  check('what the kernel refuses to move: the loopback, a bridge', own, async (box) => {
    await withNetwork(box, async (host) => {
      prepare(host);
      host.ip('link add rcbr type bridge');
      const before = host.interfaces();
      const lines = [
        await refused(box, host, withDevices({ rcd0: {}, lo: { name: 'lo9' } })),
        await refused(box, host, withDevices({ rcd0: {}, rcbr: {} })),
      ];
      for (const [name, line] of [
        ['lo', lines[0]],
        ['rcbr', lines[1]],
      ]) {
        expect(line).toContain(`linux.netDevices["${name}"]: move ${name} into the container's`);
        expect(line).toContain('netlink: invalid argument (EINVAL)');
        expect(line).not.toContain('while undoing');
      }
      expect(host.interfaces()).toEqual(before);
    });
  });

  check('an interface that is not there, no namespace to move to', own, async (box) => {
    await withNetwork(box, async (host) => {
      const absent = 'linux.netDevices["rcd0"]: there is no such interface';
      expect(await refused(box, host, withDevices({ rcd0: {} }))).toContain(absent);
      host.veth('rcd0', 'rcp0');
      const needs = "linux.netDevices: needs a network namespace that is not the runtime's";
      const shared = (spec: Spec): void => {
        withDevices({ rcd0: {} })(spec);
        dropNamespace(spec, 'network');
        spec.mounts = spec.mounts.filter(({ type }) => type !== 'sysfs');
      };
      expect(await refused(box, host, shared)).toContain(needs);
      const joined = (spec: Spec): void => {
        withDevices({ rcd0: {} })(spec);
        setNamespace(spec, { type: 'network', path: host.file });
      };
      expect(await refused(box, host, joined)).toContain(needs);
      expect(host.names()).toContain('rcd0');
    });
  });
});
