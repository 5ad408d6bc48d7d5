/**
 * ociVersion, root, annotations, the parts for other platforms, and misspelt names
 * (runtime-spec 1.3 config.md#configSpecificationVersion, #configRoot, #configAnnotations).
 */

import type { Config, Hooks } from '@opencontainers-ts/spec';
import { problem } from './findings.ts';
import type { Subject } from './subject.ts';

/** The version of the specification that is carried out. */
export const OCI_VERSION = '1.3.0';
const [MAJOR, MINOR] = [1, 3];

/** What engines send; a regular expression costs 0.1 ms at its first use. */
const PLAIN_VERSIONS = ['1.0.2', '1.0.2-dev', '1.1.0', '1.2.0', '1.2.1', '1.3.0'];

/** semver.org 2.0.0, without the finer rules for what follows `-` and `+`. */
const SEMVER =
  /^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$/;

export function checkVersion({ config, findings }: Subject): void {
  const version = config.ociVersion;
  if (PLAIN_VERSIONS.includes(version)) return;
  const match = SEMVER.exec(version);
  const at = { target: version };
  if (match === null) {
    problem(findings, 'ociVersion', 'must be a version in SemVer form, as 1.3.0', at);
  } else if (Number(match[1]) !== MAJOR) {
    problem(findings, 'ociVersion', `only major version ${MAJOR} is known`, at);
  } else if (Number(match[2]) > MINOR) {
    problem(findings, 'ociVersion', `is newer than ${MAJOR}.${MINOR}, the newest known`, at);
  }
}

export function checkRoot({ config, findings }: Subject): void {
  if (config.root === undefined) problem(findings, 'root', 'is required');
  else if (config.root.path === '') problem(findings, 'root.path', 'must not be empty');
}

export function checkAnnotations({ config, findings }: Subject): void {
  for (const key in config.annotations) {
    if (key === '') problem(findings, 'annotations', 'keys must not be empty');
  }
}

const PLATFORMS = ['solaris', 'windows', 'vm', 'zos', 'freebsd'] as const;

/** Parts for other platforms are allowed and mean nothing on Linux. */
export function notePlatforms({ config, findings }: Subject): void {
  for (const platform of PLATFORMS) {
    if (config[platform] !== undefined) findings.debug.push(`${platform}: is not for Linux`);
  }
  if (config.process?.commandLine !== undefined) {
    findings.debug.push('process.commandLine: is not for Linux');
  }
}

/** Names of the objects whose properties decide what a container may do. */
const NAMES: { readonly [object: string]: string } = {
  '': 'ociVersion root mounts process hostname domainname hooks annotations linux',
  root: 'path readonly',
  process:
    'terminal consoleSize user args env cwd capabilities rlimits noNewPrivileges apparmorProfile oomScoreAdj scheduler selinuxLabel ioPriority execCPUAffinity',
  'process.user': 'uid gid umask additionalGids',
  'process.capabilities': 'bounding effective inheritable permitted ambient',
  mount: 'destination type source options uidMappings gidMappings',
  namespace: 'type path',
  device: 'type path major minor fileMode uid gid',
  hook: 'path args env timeout',
  hooks: 'prestart createRuntime createContainer startContainer poststart poststop',
  linux:
    'namespaces uidMappings gidMappings timeOffsets devices netDevices cgroupsPath resources rootfsPropagation seccomp sysctl maskedPaths readonlyPaths mountLabel intelRdt memoryPolicy personality',
  'linux.resources': 'devices memory cpu pids blockIO hugepageLimits network rdma unified',
};

/**
 * Engines written in Go match names whatever their case, so that `Readonly` would be obeyed there
 * and dropped here (security.md §5.2). Truly unknown names are extensions and pass.
 */
export function checkSpelling({ config, findings }: Subject): void {
  const look = (path: string, kind: string, value: unknown) => {
    if (value === undefined) return;
    const names = NAMES[kind]!;
    for (const key in value as object) {
      // A part of a name passes as one too, and is no other spelling of any.
      if (names.includes(key)) continue;
      const lower = key.toLowerCase();
      const meant = names.split(' ').find((name) => name.toLowerCase() === lower);
      if (meant === undefined) continue;
      problem(findings, path === '' ? key : `${path}.${key}`, `is spelt ${meant}`);
    }
  };
  for (const [path, value] of parts(config)) look(path, path, value);
  const lookAll = (path: string, kind: string, list: readonly unknown[] | undefined) => {
    list?.forEach((entry, index) => {
      look(`${path}[${index}]`, kind, entry);
    });
  };
  lookAll('mounts', 'mount', config.mounts);
  lookAll('linux.namespaces', 'namespace', config.linux?.namespaces);
  lookAll('linux.devices', 'device', config.linux?.devices);
  for (const point in config.hooks) {
    lookAll(`hooks.${point}`, 'hook', config.hooks[point as keyof Hooks]);
  }
}

function parts(config: Config): [string, unknown][] {
  const { process, linux } = config;
  return [
    ['', config],
    ['root', config.root],
    ['process', process],
    ['process.user', process?.user],
    ['process.capabilities', process?.capabilities],
    ['hooks', config.hooks],
    ['linux', linux],
    ['linux.resources', linux?.resources],
  ];
}
