/**
 * A state root and an image of their own for a storage test, and the context of a caller. Everything
 * is below one temporary directory, which is unmounted and removed whatever the test did.
 */

import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Context } from '../../../src/libcontainer/container/context.ts';
import { layoutOf } from '../../../src/libcontainer/store/state-dir.ts';
import { loadMountTable, mountsBelow } from '../../../src/storage/mount-table.ts';
import { unmountAt } from '../../../src/storage/overlay.ts';

export class Fixture implements Disposable {
  readonly directory: string;
  readonly image: string;
  readonly context: Context;
  readonly warnings: string[] = [];

  /** `name` becomes part of every path. */
  constructor(name = 'storage') {
    this.directory = realpathSync(mkdtempSync(join(tmpdir(), `runcell ${name} `)));
    this.image = `${this.directory}/image`;
    mkdirSync(`${this.image}/etc`, { recursive: true });
    writeFileSync(`${this.image}/hello`, 'from the image');
    const root = `${this.directory}/root`;
    const quiet = () => {};
    this.context = {
      root,
      explicitRoot: true,
      log: { debug: quiet, info: quiet, warn: (line) => this.warnings.push(line), error: quiet },
      env: [],
      cwd: this.directory,
      handOver: undefined as never, // storage never looks at it
      debug: false,
      logArguments: [],
      cgroupManager: 'cgroupfs',
    };
  }

  containerDirectory(id: string): string {
    return `${layoutOf(this.context.root).containers}/${id}`;
  }

  bundleDirectory(id: string): string {
    return `${layoutOf(this.context.root).bundles}/${id}`;
  }

  /** The directory as /proc/self/mountinfo writes it. */
  get shown(): string {
    return this.directory.replaceAll(' ', '\\040');
  }

  /** What is mounted below the fixture, absolute. */
  mounts(): string[] {
    return mountsBelow(loadMountTable(), this.directory);
  }

  [Symbol.dispose](): void {
    for (const target of this.mounts().reverse()) {
      const slash = target.lastIndexOf('/');
      const [parent, name] = [target.slice(0, slash), target.slice(slash + 1)];
      unmountAt({ parent, name, detachWhenBusy: true });
    }
    rmSync(this.directory, { recursive: true });
  }
}
