/**
 * The configuration the tests start from: runc's example without a terminal, as a plain object, so
 * that no test depends on the `spec` verb. A test changes what it is about and nothing else.
 */

export interface SpecUser {
  uid: number;
  gid: number;
  umask?: number;
  additionalGids?: number[];
}

export interface SpecProcess {
  terminal?: boolean;
  user: SpecUser;
  args: string[];
  env?: string[];
  cwd: string;
  capabilities?: Partial<Record<CapabilitySet, string[]>>;
  rlimits?: { type: string; hard: number | bigint; soft: number | bigint }[];
  noNewPrivileges?: boolean;
  [field: string]: unknown;
}

export type CapabilitySet = 'bounding' | 'effective' | 'inheritable' | 'permitted' | 'ambient';

export interface SpecMount {
  destination: string;
  type?: string;
  source?: string;
  options?: string[];
  [field: string]: unknown;
}

export interface SpecNamespace {
  type: string;
  path?: string;
}

export interface SpecIdMapping {
  containerID: number;
  hostID: number;
  size: number;
}

export interface SpecLinux {
  namespaces: SpecNamespace[];
  resources?: Record<string, unknown>;
  maskedPaths?: string[];
  readonlyPaths?: string[];
  devices?: Record<string, unknown>[];
  uidMappings?: SpecIdMapping[];
  gidMappings?: SpecIdMapping[];
  sysctl?: Record<string, string>;
  cgroupsPath?: string;
  rootfsPropagation?: string;
  [field: string]: unknown;
}

export interface SpecHook {
  path: string;
  args?: string[];
  env?: string[];
  timeout?: number;
}

export interface Spec {
  ociVersion: string;
  process: SpecProcess;
  root: { path: string; readonly?: boolean };
  hostname?: string;
  domainname?: string;
  mounts: SpecMount[];
  hooks?: Record<string, SpecHook[]>;
  annotations?: Record<string, string>;
  linux: SpecLinux;
  [field: string]: unknown;
}

export type Patch = (spec: Spec) => void;

const CAPABILITIES = ['CAP_AUDIT_WRITE', 'CAP_KILL', 'CAP_NET_BIND_SERVICE'];

/** A new object each time. `args` is what the container runs. */
export function defaultSpec(args: readonly string[]): Spec {
  return {
    ociVersion: '1.2.0',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [...args],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'TERM=xterm'],
      cwd: '/',
      capabilities: {
        bounding: [...CAPABILITIES],
        effective: [...CAPABILITIES],
        permitted: [...CAPABILITIES],
      },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: true },
    hostname: 'testcell',
    mounts: defaultMounts(),
    linux: {
      resources: { devices: [{ allow: false, access: 'rwm' }] },
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
      maskedPaths: ['/proc/acpi', '/proc/keys', '/proc/timer_list', '/sys/firmware'],
      readonlyPaths: ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'],
    },
  };
}

function defaultMounts(): SpecMount[] {
  const strict = ['nosuid', 'noexec', 'nodev'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc' },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: [...strict, 'mode=1777', 'size=65536k'],
    },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: strict },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...strict, 'ro'] },
  ];
}

/** config.json's text; bigint fields are printed exactly. */
export function specText(spec: Spec): string {
  const exact: string[] = [];
  const text = JSON.stringify(
    spec,
    (_, value: unknown) => {
      if (typeof value !== 'bigint') return value;
      exact.push(value.toString());
      return `\u0001${exact.length - 1}\u0001`;
    },
    2,
  );
  return text.replace(/"\\u0001([0-9]+)\\u0001"/g, (_, index: string) => exact[Number(index)]!);
}

/** Adds a mount after the others. */
export function addMount(spec: Spec, mount: SpecMount): void {
  spec.mounts.push(mount);
}

/** Gives the container a user namespace with `size` ids from `hostID` on. */
export function useUserNamespace(spec: Spec, hostID = 100000, size = 65536): void {
  spec.linux.namespaces.push({ type: 'user' });
  spec.linux.uidMappings = [{ containerID: 0, hostID, size }];
  spec.linux.gidMappings = [{ containerID: 0, hostID, size }];
}

export function dropNamespace(spec: Spec, type: string): void {
  spec.linux.namespaces = spec.linux.namespaces.filter((one) => one.type !== type);
}

export function setNamespace(spec: Spec, namespace: SpecNamespace): void {
  dropNamespace(spec, namespace.type);
  spec.linux.namespaces.push(namespace);
}
