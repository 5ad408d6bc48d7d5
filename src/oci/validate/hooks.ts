/**
 * hooks (runtime-spec 1.3 config.md#configHooks): paths are absolute; whether there is a program is
 * only known where the hook runs. Opens no file.
 */

import { problem } from './findings.ts';
import { checkStrings } from './process.ts';
import { isAbsolute, type Subject } from './subject.ts';

const POINTS = [
  'prestart',
  'createRuntime',
  'createContainer',
  'startContainer',
  'poststart',
  'poststop',
] as const;

/** Longest timeout: milliseconds of it fit the int of poll(2). */
const TIMEOUT_MAX = 2_147_483;

export function checkHooks({ config, findings }: Subject): void {
  for (const point of POINTS) {
    config.hooks?.[point]?.forEach(({ path, args, env, timeout }, index) => {
      const at = `hooks.${point}[${index}]`;
      if (!isAbsolute(path)) {
        problem(findings, `${at}.path`, 'must be an absolute path', { target: path });
      }
      if (timeout !== undefined && (timeout <= 0 || timeout > TIMEOUT_MAX)) {
        problem(findings, `${at}.timeout`, `must be from 1 to ${TIMEOUT_MAX}`, {
          target: String(timeout),
        });
      }
      checkStrings([path], `${at}.path`, findings);
      checkStrings(args, `${at}.args`, findings);
      checkStrings(env, `${at}.env`, findings);
    });
  }
}
