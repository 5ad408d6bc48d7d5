/**
 * One boot of the test system: qemu emulates an x86 machine without KVM, the job's output comes
 * through one virtio port as it is written, its result through another.
 *
 * Nothing is shared between two machines: the image is opened with `snapshot=on` (what is written
 * goes to an unlinked file), the rest lies in a directory of the run's own, and there is no network.
 * qemu dies with this process (prctl(2), PR_SET_PDEATHSIG), and at the deadline.
 */

import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import { cacheDir, type Image } from './image.ts';
import { type Job, makeProjectDisk } from './project.ts';

export interface Ended {
  /** The job's exit status, or why there is none. */
  readonly status: number | undefined;
  readonly report: string | undefined;
  /** What to tell a person when the machine and not the job failed. */
  readonly trouble: string | undefined;
}

/**
 * Emulated, mitigations protect nothing and cost a third of the time, and half of the security
 * modules look at every open. On a busy host the timers that the kernel checks at boot, and its
 * watchdogs later, come too late: without `no_timer_check` it panics now and then.
 */
const KERNEL_LINE = [
  'root=/dev/vda',
  'console=ttyS0',
  'mitigations=off',
  'nokaslr',
  'no_timer_check',
  'nowatchdog',
  'tsc=reliable',
  'rcupdate.rcu_cpu_stall_suppress=1',
  'lsm=landlock,yama,apparmor',
  'quiet',
  'loglevel=4',
  'panic=-1',
  'hugepages=16',
  'systemd.show_status=false',
  'systemd.unified_cgroup_hierarchy=1',
  'cgroup_no_v1=all',
].join(' ');

/**
 * The emulated time stamp counter is this machine's own, and the guest measures its frequency by a
 * timer that fires late on a busy host: its clocks would run fast, by half and more. BogoMIPS is
 * twice the frequency in MHz (loops_per_jiffy is made of it, arch/x86/kernel/tsc.c).
 */
export function timeStampCounter(cpuinfo: string): string {
  const found = /^bogomips\s*:\s*([\d.]+)$/im.exec(cpuinfo);
  return found === null ? '' : ` tsc_early_khz=${Math.round(Number(found[1]) * 500)}`;
}

function qemuArguments(image: Image, dir: string): string[] {
  const disk = (file: string) => [
    '-drive',
    `file=${file},if=virtio,format=raw,snapshot=on,cache=unsafe`,
  ];
  const kernelLine = KERNEL_LINE + timeStampCounter(readFileSync('/proc/cpuinfo', 'latin1'));
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot'],
    ...['-machine', 'q35', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '4G'],
    ...['-kernel', image.kernel, '-initrd', image.initramfs, '-append', kernelLine],
    ...['-serial', `file:${dir}/console`],
    ...disk(image.disk),
    ...disk(`${dir}/project.img`),
    ...['-device', 'virtio-serial-pci'],
    ...['-chardev', 'stdio,id=output,signal=off'],
    ...['-device', 'virtserialport,chardev=output,name=output'],
    ...['-chardev', `file,id=result,path=${dir}/result`],
    ...['-device', 'virtserialport,chardev=result,name=result'],
  ];
}

/** Directories of runs whose process was killed. */
function removeStale(runs: string): void {
  for (const name of readdirSync(runs)) {
    const owner = Number(name.split('-')[0]);
    const old = Date.now() - statSync(`${runs}/${name}`).mtimeMs > 86_400_000;
    if (!existsSync(`/proc/${owner}`) || old)
      rmSync(`${runs}/${name}`, { recursive: true, force: true });
  }
}

/** Boots, runs the job and waits for the machine's end. */
export async function runInMachine(image: Image, job: Job, deadlineMs: number): Promise<Ended> {
  const runs = `${cacheDir}/runs`;
  mkdirSync(runs, { recursive: true });
  removeStale(runs);
  const dir = mkdtempSync(`${runs}/${process.pid}-`);
  const remove = () => rmSync(dir, { recursive: true, force: true });
  process.once('exit', remove);
  makeProjectDisk(`${dir}/project.img`, `${dir}/project`, job);
  const late = await boot(image, dir, deadlineMs);
  const ended = late ? failed(`not finished after ${deadlineMs / 1000} s`, dir) : resultIn(dir);
  remove();
  process.removeListener('exit', remove);
  return ended;
}

/** True when the deadline came first. */
function boot(image: Image, dir: string, deadlineMs: number): Promise<boolean> {
  const args = ['--pdeathsig', 'KILL', 'qemu-system-x86_64', ...qemuArguments(image, dir)];
  // stdin stays open: at its end qemu would close the port, and the guest's writes wait for ever.
  const machine = spawn('setpriv', args, { stdio: ['pipe', 'pipe', 'inherit'] });
  machine.stdout.pipe(process.stdout, { end: false });
  return new Promise((done, broken) => {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      machine.kill('SIGKILL');
    }, deadlineMs);
    machine.once('error', broken);
    machine.once('close', () => {
      clearTimeout(timer);
      done(late);
    });
  });
}

/** Reads what the guest said at its end: `status N`, the report, `end of result`. */
function resultIn(dir: string): Ended {
  const text = existsSync(`${dir}/result`) ? readFileSync(`${dir}/result`, 'utf8') : '';
  const found = parseResult(text);
  return found ?? failed('the machine ended without a result', dir);
}

export function parseResult(text: string): Ended | undefined {
  const parts = /^status (\d+)\n([\s\S]*)end of result\n$/.exec(text);
  if (parts === null) return undefined;
  const report = parts[2] === '' ? undefined : parts[2];
  return { status: Number(parts[1]), report, trouble: undefined };
}

function failed(reason: string, dir: string): Ended {
  const log = existsSync(`${dir}/console`) ? readFileSync(`${dir}/console`, 'utf8') : '';
  // Without the control sequences of whoever took it for a terminal.
  const plain = stripVTControlCharacters(log).replace(/[^\n -~]/g, '');
  const last = plain.split('\n').slice(-40).join('\n');
  return { status: undefined, report: undefined, trouble: `${reason}; its console:\n${last}` };
}
