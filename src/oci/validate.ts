/**
 * From a parsed document to a configuration that may be planned, or one error that names what is
 * wrong: the schema first, then the rules of the specification's prose and of the kernel, one file a
 * field below validate/, and last what runcell does not carry out yet.
 *
 * Only this file makes a ValidConfig. It opens no file; what only the host can tell (does the rootfs
 * exist, is a joined namespace the host's own) is found where it is opened.
 */

import {
  type Config,
  explainConfig,
  explainProcess,
  isCommonConfig,
  isCommonProcess,
  type Linux,
  type Problem,
  type Process,
  type Root,
} from '@opencontainers-ts/spec';
import { checkDeviceRules, checkDevices } from './validate/devices.ts';
import {
  checkAnnotations,
  checkRoot,
  checkSpelling,
  checkVersion,
  notePlatforms,
} from './validate/document.ts';
import { type Findings, noFindings, throwProblems } from './validate/findings.ts';
import { checkHooks } from './validate/hooks.ts';
import { checkIdMappings } from './validate/id-mappings.ts';
import { checkMounts } from './validate/mounts.ts';
import {
  checkCgroupsPath,
  checkHiddenPaths,
  checkNames,
  checkNamespaces,
  checkPersonality,
  checkTimeOffsets,
} from './validate/namespaces.ts';
import { CWD_EMPTY, checkProcess, checkProcessSupport, PROCESS_EMPTY } from './validate/process.ts';
import type { Subject } from './validate/subject.ts';
import { checkSysctl } from './validate/sysctl.ts';
import { checkSupport } from './validate/unsupported.ts';

export type ValidProcess = Process & { readonly args: string[] };

/** What every configuration that passed has. */
export type ValidConfig = Config & {
  readonly root: Root;
  readonly process: ValidProcess;
  readonly linux: Linux;
};

export interface Validated<Document> {
  readonly config: Document;
  readonly warnings: readonly string[];
  readonly debug: readonly string[];
}

export function validateConfig(value: unknown): Validated<ValidConfig> {
  const findings = noFindings();
  const config = schemaChecked(value, findings, {
    accepts: (it) => isCommonConfig(schemaView(it)),
    explain: (it) => explainConfig(schemaView(it)),
    specPath: '',
  }) as Config;
  const linux = config.linux ?? {};
  const subject: Subject = { config, linux, findings };
  checkFields(subject);
  throwProblems(findings);
  const valid = config.linux === undefined ? { ...config, linux } : config;
  return { config: valid as ValidConfig, warnings: findings.warnings, debug: findings.debug };
}

/** The document of `exec --process`; `specPath` is what errors put before a field. */
export function validateProcess(value: unknown, specPath: string): Validated<ValidProcess> {
  const findings = noFindings();
  const schema = { accepts: isCommonProcess, explain: explainProcess, specPath };
  const process = schemaChecked(value, findings, schema) as Process;
  checkProcess(process, specPath, findings);
  checkProcessSupport(process, specPath, findings);
  throwProblems(findings);
  const { warnings, debug } = findings;
  return { config: process as ValidProcess, warnings, debug };
}

/**
 * In this order problems are told; each check looks at one part and relies on the schema alone. A
 * part that is absent is not even looked at: the first call of a function costs 10 µs.
 */
function checkFields(subject: Subject): void {
  const { config, linux } = subject;
  checkVersion(subject);
  checkSpelling(subject);
  checkRoot(subject);
  checkProgram(subject);
  if (linux.namespaces !== undefined) checkNamespaces(subject);
  if (config.hostname || config.domainname) checkNames(subject);
  checkIdMappings(subject);
  if (linux.timeOffsets !== undefined) checkTimeOffsets(subject);
  if (config.mounts !== undefined) checkMounts(subject);
  if (config.hooks !== undefined) checkHooks(subject);
  if (config.annotations !== undefined) checkAnnotations(subject);
  if (linux.devices !== undefined) checkDevices(subject);
  if (linux.resources !== undefined) checkDeviceRules(subject);
  if (linux.cgroupsPath !== undefined) checkCgroupsPath(subject);
  if (linux.sysctl !== undefined) checkSysctl(subject);
  checkHiddenPaths(subject);
  if (linux.personality !== undefined) checkPersonality(subject);
  notePlatforms(subject);
  checkSupport(subject);
}

function checkProgram({ config, findings }: Subject): void {
  const { process } = config;
  if (process !== undefined) checkProcess(process, 'process', findings);
  else findings.problems.push({ code: 'config.value', path: 'process', reason: PROCESS_EMPTY });
}

const RECURSIVE = ['rprivate', 'rshared', 'rslave', 'runbindable'];

/**
 * The document as the schema is asked about it. Engines send `rootfsPropagation: "rslave"` and, for
 * none, "", both of which runc takes and the schema of the specification does not.
 */
function schemaView(value: unknown): unknown {
  const linux = (value as Config | null)?.linux;
  const propagation = linux?.rootfsPropagation;
  if (propagation === '') {
    const { rootfsPropagation: _none, ...rest } = linux!;
    return { ...(value as Config), linux: rest };
  }
  if (typeof propagation !== 'string' || !RECURSIVE.includes(propagation)) return value;
  return { ...(value as Config), linux: { ...linux, rootfsPropagation: propagation.slice(1) } };
}

export interface SchemaCheck {
  /** Knows the common documents alone: a no may be a yes of `explain`. */
  accepts(value: unknown): boolean;
  /** Loads the complete validator; no problems are a yes. */
  explain(value: unknown): Problem[];
  readonly specPath: string;
}

/**
 * The value when the schema accepts it; else without its nulls, which runc reads as "not given" and
 * the schema refuses. Only a document that was refused is looked through for them.
 */
export function schemaChecked(value: unknown, findings: Findings, schema: SchemaCheck): unknown {
  if (schema.accepts(value)) return value;
  const { bare, dropped } = withoutNulls(value);
  if (!schema.accepts(bare)) {
    if (schema.explain(value).length === 0) return value;
    addSchemaProblems(findings, schema.specPath, schema.explain(bare));
    throwProblems(findings);
  }
  if (dropped > 0) findings.debug.push(`null is taken as absent, ${dropped} times`);
  return bare;
}

function withoutNulls(value: unknown): { readonly bare: unknown; readonly dropped: number } {
  let dropped = 0;
  const copy = (node: unknown): unknown => {
    if (Array.isArray(node)) return node.map(copy);
    if (typeof node !== 'object' || node === null) return node;
    const entries = Object.entries(node).filter(([, item]) => item !== null);
    dropped += Object.keys(node).length - entries.length;
    return Object.fromEntries(entries.map(([key, item]) => [key, copy(item)]));
  };
  return { bare: copy(value), dropped };
}

/** The words runc has for what the schema finds too (reference/runtime-cli.md §2). */
function addSchemaProblems(findings: Findings, specPath: string, problems: Problem[]): void {
  for (const { path, reason } of problems) {
    const missingCwd = reason === 'is required' && /^(process\.)?cwd$/.test(path);
    findings.problems.push({
      code: 'config.schema',
      path: specPath === '' || path === '' ? specPath + path : `${specPath}.${path}`,
      reason: missingCwd ? CWD_EMPTY : path === '' ? `the document ${reason}` : reason,
    });
  }
}
