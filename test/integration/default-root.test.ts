/**
 * Without `--root`: /run/runcell, its images below /var/lib/runcell, and the usage document's
 * /tmp/runcell as a link that is made once and never followed. DESIGN.md §6.
 *
 * Everything happens in a private mount namespace with empty /run, /var/lib and /tmp.
 */

import { describe, expect } from 'vitest';
import type { Box, Outcome } from '../helpers/box.ts';
import { check } from '../helpers/check.ts';
import { runtime } from '../helpers/runtime.ts';

const own = { notRunc: "is runcell's own layout" };

/** Runs a script with $R the runtime, $B a bundle that sleeps and $ID an id. */
function elsewhere(box: Box, script: string, before = ''): Promise<Outcome> {
  const bundle = box.bundle(['sleep', '1000']);
  const lines = [
    'set -e',
    'mkdir -p /mnt',
    'mount -t tmpfs here /mnt',
    'mkdir /mnt/bundle /mnt/tree',
    `mount --bind ${bundle.dir} /mnt/bundle`,
    // The product itself may live below /tmp.
    `mount --rbind ${runtime.path.replace(/\/dist\/[^/]*$/, '')} /mnt/tree`,
    'for dir in /run /var/lib /tmp; do mount -t tmpfs empty $dir; done',
    'chmod 1777 /tmp',
    `R=/mnt/tree/dist/runcell B=/mnt/bundle ID=${box.id()}`,
    'create() { $R create --bundle $B $ID </dev/null >/dev/null 2>/mnt/err || { cat /mnt/err; exit 9; }; }',
    before,
    script,
  ];
  return box.command('unshare', [
    '--mount',
    '--propagation',
    'private',
    'bash',
    '-c',
    lines.join('\n'),
  ]);
}

async function prints(box: Box, script: string, before = ''): Promise<string[]> {
  const outcome = await elsewhere(box, `${script}\n$R delete --force $ID`, before);
  if (outcome.status !== 0) throw new Error(JSON.stringify(outcome));
  return outcome.stdout.trimEnd().split('\n');
}

describe('the default root', () => {
  check('is /run/runcell, private, with images in /var/lib/runcell', own, async (box) => {
    const script = [
      'create',
      'stat -c "%n %F %a %u" /run/runcell /run/runcell/states /run/runcell/states/$ID',
      'readlink /run/runcell/containers',
      'ls /run/runcell',
      '$R list -q',
    ].join('\n');
    const lines = await prints(box, script);
    expect(lines[0]).toBe('/run/runcell directory 700 0');
    expect(lines[1]).toBe('/run/runcell/states directory 700 0');
    expect(lines[2]).toMatch(/directory 700 0$/);
    expect(lines[3]).toBe('/var/lib/runcell/containers');
    expect(lines.slice(4, 7).sort()).toEqual(['bundles', 'containers', 'states']);
    expect(lines.at(-1)).toBe(`${box.tag}c2`);
  });

  check('is reached by the documented paths through /tmp/runcell', own, async (box) => {
    const script = 'create; readlink /tmp/runcell; ls -d /tmp/runcell/states/$ID';
    const lines = await prints(box, script);
    expect(lines[0]).toBe('/run/runcell');
    expect(lines[1]).toMatch(/^\/tmp\/runcell\/states\//);
  });

  check('whatever is at /tmp/runcell already is left alone and not followed', own, async (box) => {
    for (const before of [
      'mkdir /tmp/runcell; touch /tmp/runcell/squatted',
      'mkdir /tmp/elsewhere; ln -s /tmp/elsewhere /tmp/runcell',
      'touch /tmp/runcell',
      'ln -s /nowhere /tmp/runcell',
    ]) {
      const look = 'find /tmp /run/runcell -maxdepth 1 -printf "%p %y %l\\n" | grep tmp/ | sort';
      const script = `before=$(${look}); create; [ "$before" = "$(${look})" ] && echo same; $R state $ID | grep status`;
      const lines = await prints(box, script, before);
      expect(lines).toEqual(['same', '  "status": "created",']);
    }
  });

  check('that another user made is refused', own, async (box) => {
    for (const before of [
      'mkdir -m 700 /run/runcell; chown 1234 /run/runcell',
      'mkdir /run/runcell; chmod 777 /run/runcell',
      'mkdir -m 700 /tmp/real; ln -s /tmp/real /run/runcell',
    ]) {
      const outcome = await elsewhere(box, '$R create --bundle $B $ID', before);
      expect(outcome.status).toBe(1);
      expect(outcome.stderr).toContain('/run/runcell');
    }
  });

  check('of root is not changed by XDG_RUNTIME_DIR', own, async (box) => {
    const script =
      'export XDG_RUNTIME_DIR=/tmp/xdg; mkdir -m 700 /tmp/xdg; create; ls /run/runcell/states; ls /tmp/xdg | wc -l';
    const lines = await prints(box, script);
    expect(lines[0]).toBe(`${box.tag}c2`);
    expect(lines[1]).toBe('0');
  });

  check('verbs that change nothing make no directory', own, async (box) => {
    const outcome = await elsewhere(box, '$R list; $R state x; ls /run /var/lib /tmp');
    expect(outcome.stdout).not.toContain('runcell');
  });
});
