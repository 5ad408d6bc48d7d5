/** Node becoming the executor. */

import { mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { executorImage } from '../../../src/libcontainer/executor/image.ts';
import { SYSCALLS } from '../../../src/libcontainer/linux/syscall.ts';
import { END } from '../../../src/libcontainer/program/op.ts';
import { type BundledScript, bundleScript } from '../../helpers/bundle.ts';
import { RawProgram } from '../../helpers/raw-program.ts';

const arch = process.arch as 'x64' | 'arm64';
const nr = SYSCALLS[arch];
let directory: string;
let image: string;
let becomer: BundledScript;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'runcell-wait-'));
  image = join(directory, 'executor');
  writeFileSync(image, executorImage(arch), { mode: 0o755 });
  becomer = bundleScript(`
    import { openSync, readFileSync } from 'node:fs';
    import { becomeExecutor } from './src/libcontainer/executor/wait.ts';
    const [image, ...files] = process.argv.slice(2);
    const kept = openSync('/dev/zero', 'r');
    openSync('/dev/full', 'r');
    const programs = files.map((file) => ({ bytes: readFileSync(file) }));
    becomeExecutor({ image: image!, programs, keep: [kept] });
  `);
});
afterAll(() => {
  becomer.remove();
  rmSync(directory, { recursive: true });
});

function saying(text: string): RawProgram {
  const program = new RawProgram();
  program.op(nr.write, [1, program.data(text), text.length]);
  return program;
}

function run(programs: RawProgram[]) {
  const files = programs.map((program, index) => {
    const path = join(directory, `program${index}`);
    writeFileSync(path, program.wire());
    return path;
  });
  const child = becomer.spawn([image, ...files], { stdio: ['pipe', 'pipe', 'inherit'] });
  let text = '';
  child.stdout!.on('data', (bytes: Buffer) => {
    text += bytes.toString();
  });
  const ended = new Promise<number | null>((done) => child.on('close', (code) => done(code)));
  const said = (wanted: string) =>
    new Promise<void>((done) => {
      const timer = setInterval(() => {
        if (!text.includes(wanted)) return;
        clearInterval(timer);
        done();
      }, 5);
    });
  return { child, ended, said, text: () => text };
}

describe('becomeExecutor', () => {
  it('runs the programs in the same process, then exits with 0', async () => {
    const [first, second] = [saying('one '), saying('two')];
    first.op(END);
    second.op(END);
    const ran = run([first, second]);
    expect(await ran.ended).toBe(0);
    expect(ran.text()).toBe('one two');
  });

  it('keeps 0, 1, 2, the programs and what was named, in a few pages', async () => {
    const program = saying('here');
    const buffer = program.words(0);
    program.op(nr.read, [0, buffer, 1]);
    program.op(nr.exit_group, [9]);
    const ran = run([program]);
    await ran.said('here');
    const proc = `/proc/${ran.child.pid}`;
    expect(readlinkSync(`${proc}/exe`)).toBe(image);
    const links = Array.from({ length: 64 }, (_, fd) => {
      try {
        return readlinkSync(`${proc}/fd/${fd}`);
      } catch {
        return '';
      }
    }).filter((link) => link !== '');
    expect(links).toHaveLength(5);
    expect(links).toContain('/dev/zero');
    expect(links).not.toContain('/dev/full');
    expect(readFileSync(`${proc}/environ`, 'utf8')).toBe('');
    const rss = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`${proc}/status`, 'utf8'))!;
    expect(Number(rss[1])).toBeLessThanOrEqual(256);
    ran.child.stdin!.end('x');
    expect(await ran.ended).toBe(9);
  });
});
