/** validateConfig and validateProcess as a whole: schema, order, counting, and what passes. */

import fs from 'node:fs';
import path from 'node:path';
import { explainConfig } from '@opencontainers-ts/spec';
import { describe, expect, test } from 'vitest';
import { defaultSpec } from '../../../src/oci/default-spec.ts';
import { parseJson } from '../../../src/oci/json.ts';
import type { Problems } from '../../../src/oci/validate/findings.ts';
import { validateConfig, validateProcess } from '../../../src/oci/validate.ts';
import { fetchSchemaDir } from '../spec/module.ts';
import { changed, errorOf, type Loose, problemsOf } from './helpers.ts';

const messageAfter = (change: (config: Loose) => void) =>
  errorOf(() => validateConfig(changed(change))).message;

describe('validateConfig', () => {
  test('the default documents pass without a warning', () => {
    for (const rootless of [false, true]) {
      const { warnings, debug } = validateConfig(defaultSpec({ rootless }));
      expect(warnings).toEqual([]);
      expect(debug).toEqual([]);
    }
  });

  test('a valid document comes back as it is', () => {
    const config = defaultSpec({ rootless: false });
    expect(validateConfig(config).config).toBe(config);
  });

  test('without a Linux part the result has an empty one', () => {
    const config = changed((c) => {
      delete c.linux;
      delete c.hostname;
    });
    expect(validateConfig(config).config.linux).toEqual({});
    expect(config.linux).toBeUndefined();
  });

  test('schema problems have code and path of the first and count the others', () => {
    const error = errorOf(() =>
      validateConfig(
        changed((c) => {
          c.process.user.uid = -1;
          c.mounts[3].options = 'ro';
          c.linux.seccomp = {};
        }),
      ),
    );
    expect(error.code).toBe('config.schema');
    expect(error.fields.specPath).toBe('mounts[3].options');
    expect(error.message).toBe('mounts[3].options: must be an array (and 2 more problems)');
    expect((error.cause as Problems).problems.map((p) => p.path)).toEqual([
      'mounts[3].options',
      'process.user.uid',
      'linux.seccomp.defaultAction',
    ]);
    expect((error.cause as Problems).message.split('\n')).toHaveLength(3);
  });

  test('one problem is told without a count', () => {
    expect(messageAfter((c) => (c.process.user.uid = 2 ** 32))).toBe(
      'process.user.uid: must be an integer from 0 to 4294967295',
    );
  });

  test.each([[null], [[]], ['text'], [1], [undefined]])('%j is no document', (value) => {
    expect(errorOf(() => validateConfig(value)).message).toBe('the document must be an object');
  });

  test('values out of reach of JSON.parse are judged exactly', () => {
    const text = (soft: string) =>
      JSON.stringify(
        changed((c) => (c.process.rlimits = [{ type: 'RLIMIT_CORE', soft: 0, hard: 'HARD' }])),
      ).replace('"HARD"', soft);
    const validate = (literal: string) =>
      validateConfig(parseJson(text(literal), { source: 'config.json' }));
    expect(validate('18446744073709551615').config.process.rlimits?.[0]?.hard).toBe(
      18446744073709551615n,
    );
    for (const literal of ['18446744073709551616', '-1', '1.5', '1e400', '1e20', '0.1e-5']) {
      expect(errorOf(() => validate(literal)).fields.specPath).toBe('process.rlimits[0].hard');
    }
  });

  test.each(['private', 'slave', 'shared', 'unbindable'])(
    'rootfsPropagation %s, also r%s',
    (name) => {
      for (const value of [name, `r${name}`]) {
        const config = changed((c) => (c.linux.rootfsPropagation = value));
        expect(validateConfig(config).config.linux.rootfsPropagation).toBe(value);
      }
    },
  );

  test('rootfsPropagation is one of the kernel’s four', () => {
    expect(problemsOf((c) => (c.linux.rootfsPropagation = ''))).toEqual([]);
    for (const value of ['rr', 'rrslave', 'Slave', 'recursive']) {
      expect(problemsOf((c) => (c.linux.rootfsPropagation = value))).toEqual([
        'linux.rootfsPropagation: must be one of private, shared, slave, unbindable',
      ]);
    }
  });

  test('null is taken as absent, and said at debug level', () => {
    const config = changed((c) => {
      c.hooks = null;
      c.linux.resources.memory = { limit: null, swappiness: null };
      c.process.rlimits = null;
    });
    const result = validateConfig(config);
    expect(result.config.hooks).toBeUndefined();
    expect(result.config.linux.resources?.memory).toEqual({});
    expect(result.debug[0]).toBe('null is taken as absent, 4 times');
  });

  test('null does not stand for what is required, nor for an entry', () => {
    expect(problemsOf((c) => (c.process.cwd = null))).toEqual([
      'process.cwd: Cwd property must not be empty',
    ]);
    expect(problemsOf((c) => (c.process.args = ['sh', null]))).toEqual([
      'process.args[1]: must be a string',
    ]);
  });

  test('values that are wrong come before fields that are not supported yet', () => {
    const error = errorOf(() =>
      validateConfig(
        changed((c) => {
          c.linux.mountLabel = 'label';
          c.linux.readonlyPaths = ['proc'];
        }),
      ),
    );
    expect(error.code).toBe('config.value');
    expect(error.message).toBe(
      'linux.readonlyPaths[0] proc: must be an absolute path (and 1 more problem)',
    );
  });

  test('the example of the specification is refused only for what is not supported yet', () => {
    const file = path.join(fetchSchemaDir(), 'test/config/good/spec-example.json');
    const value = parseJson(fs.readFileSync(file), { source: file }) as Loose;
    expect(explainConfig(value)).toEqual([]);
    value.ociVersion = '1.0.0';
    const error = errorOf(() => validateConfig(value));
    const other = (error.cause as Problems).problems.filter((p) => p.code !== 'config.unsupported');
    // Its user namespace mappings and its masks do not go with the rest of it.
    expect(other.map(({ path: at, reason }) => `${at}: ${reason}`)).toEqual([]);
  });

  test('control characters of the document do not reach the error line raw', () => {
    const message = messageAfter((c) => (c.process.cwd = 'a\n\u001b[31m'));
    expect(message).toBe('process.cwd a\\u000a\\u001b[31m: Cwd must be an absolute path');
  });
});

describe('validateProcess', () => {
  const process = { cwd: '/', args: ['true'] };

  test('a process document passes as it is', () => {
    expect(validateProcess(process, 'process').config).toBe(process);
  });

  test('paths begin with what the caller says', () => {
    const error = errorOf(() => validateProcess({ ...process, env: [1] }, 'process'));
    expect(error.message).toBe('process.env[0]: must be a string');
    const wrong = errorOf(() => validateProcess({ ...process, cwd: 'tmp' }, 'process'));
    expect(wrong.message).toBe('process.cwd tmp: Cwd must be an absolute path');
  });

  test.each([
    [{ args: ['true'] }, 'Cwd property must not be empty'],
    [{ args: ['true'], cwd: '' }, 'Cwd property must not be empty'],
    [{ cwd: '/' }, 'args must not be empty'],
    [{ cwd: '/', args: [] }, 'args must not be empty'],
  ])('%j: %s', (value, reason) => {
    expect(errorOf(() => validateProcess(value, 'process')).message).toContain(reason);
  });

  test.each(['apparmorProfile', 'selinuxLabel'])('%s is not supported yet', (field) => {
    const error = errorOf(() => validateProcess({ ...process, [field]: 'x' }, 'process'));
    expect(error.code).toBe('config.unsupported');
    expect(error.message).toBe(`process.${field} x: is not supported yet`);
    expect(validateProcess({ ...process, [field]: '' }, 'process').warnings).toEqual([]);
  });
});
