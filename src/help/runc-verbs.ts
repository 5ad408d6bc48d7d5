/**
 * runc's verbs as oclif classes (reference/runtime-cli.md §1.6, §1.7). Data only.
 */

import { Args, Flags } from '@oclif/core';
import { containerId, Verb } from './verb.ts';

const bundle = Flags.string({
  char: 'b',
  description: 'directory of the bundle (default: the working directory)',
  helpValue: 'DIR',
});
const consoleSocket = Flags.string({
  description: 'unix socket that gets the master of the terminal',
  helpValue: 'PATH',
});
const pidfdSocket = Flags.string({
  description: 'unix socket that gets a pidfd of the process',
  helpValue: 'PATH',
});
const pidFile = Flags.string({
  description: 'file that the process id is written to',
  helpValue: 'FILE',
});
const preserveFds = Flags.string({
  description: 'number of descriptors from 3 up that are passed on',
  helpValue: 'N',
});
const format = (values: string) =>
  Flags.string({ char: 'f', description: `form of the output: ${values}`, helpValue: 'FORMAT' });

const createFlags = {
  bundle,
  'console-socket': consoleSocket,
  'pidfd-socket': pidfdSocket,
  'pid-file': pidFile,
  'no-pivot': Flags.boolean({
    description: 'move the root filesystem instead of pivoting, for a root in a ramdisk',
  }),
  'no-new-keyring': Flags.boolean({
    description: 'keep the session keyring of the caller',
  }),
  'preserve-fds': preserveFds,
};

export class Create extends Verb {
  static override summary = 'create a container from a bundle';
  static override description =
    'Makes the container and stops before its program: start runs it. A bundle is a directory ' +
    'with config.json and a root filesystem.';
  static override args = containerId;
  static override flags = createFlags;
}

export class Start extends Verb {
  static override summary = 'run the program of a created container';
  static override args = containerId;
}

export class State extends Verb {
  static override summary = 'print the state of a container as JSON';
  static override args = containerId;
}

export class Kill extends Verb {
  static override summary = 'send a signal to the first process of a container';
  static override args = {
    ...containerId,
    signal: Args.string({
      name: 'SIGNAL',
      description: 'number or name, as 9, KILL or SIGKILL (default: SIGTERM)',
    }),
  };
  static override flags = {
    all: Flags.boolean({ char: 'a', description: 'signal every process of the container' }),
  };
}

export class Delete extends Verb {
  static override summary = 'remove a stopped container';
  static override args = containerId;
  static override flags = {
    force: Flags.boolean({
      char: 'f',
      description: 'kill a running container first; a missing one is no error',
    }),
  };
}

export class Run extends Verb {
  static override summary = 'create and start a container, wait for it, delete it';
  static override args = containerId;
  static override flags = {
    ...createFlags,
    detach: Flags.boolean({ char: 'd', description: 'return when the container runs' }),
    keep: Flags.boolean({ description: 'do not delete the container when it has ended' }),
    'no-subreaper': Flags.boolean({
      description: 'do not adopt the orphans of the container',
    }),
  };
}

export class Exec extends Verb {
  static override summary = 'run another program in a container';
  static override description =
    'Everything after the name of the container is the program and its arguments. Exits with its ' +
    'status, or 255 when it could not be run.';
  static override payload = true;
  static override args = {
    ...containerId,
    command: Args.string({
      name: 'COMMAND',
      multiple: true,
      description: 'program and arguments, unless --process is given',
    }),
  };
  static override flags = {
    process: Flags.string({
      char: 'p',
      description: 'file with a process object, which replaces the flags below',
      helpValue: 'FILE',
    }),
    cwd: Flags.string({ description: 'working directory in the container', helpValue: 'DIR' }),
    env: Flags.string({
      char: 'e',
      multiple: true,
      multipleNonGreedy: true,
      description: 'environment variable to add',
      helpValue: 'KEY=VALUE',
    }),
    tty: Flags.boolean({ char: 't', description: 'give the program a terminal' }),
    user: Flags.string({ char: 'u', description: 'user to run as', helpValue: 'UID[:GID]' }),
    'additional-gids': Flags.string({
      char: 'g',
      multiple: true,
      multipleNonGreedy: true,
      description: 'additional group',
      helpValue: 'GID',
    }),
    detach: Flags.boolean({ char: 'd', description: 'return when the program runs' }),
    'pid-file': pidFile,
    'console-socket': consoleSocket,
    'pidfd-socket': pidfdSocket,
    'process-label': Flags.string({ description: 'SELinux label', helpValue: 'LABEL' }),
    apparmor: Flags.string({ description: 'AppArmor profile', helpValue: 'PROFILE' }),
    'no-new-privs': Flags.boolean({ description: 'set no_new_privs' }),
    cap: Flags.string({
      char: 'c',
      multiple: true,
      multipleNonGreedy: true,
      description: 'capability to add',
      helpValue: 'CAP',
    }),
    'preserve-fds': preserveFds,
    cgroup: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      description: 'cgroup below that of the container to run in',
      helpValue: 'PATH',
    }),
    'ignore-paused': Flags.boolean({ description: 'allow it in a paused container' }),
  };
}

const limit = (description: string, helpValue = 'N') => Flags.string({ description, helpValue });
const ignored = () => Flags.string({ description: 'is ignored', hidden: true });

export class Update extends Verb {
  static override summary = 'change the limits of a container';
  static override description =
    'What is not given stays as it is; -1 takes a limit away. Sizes are bytes, or have one of the ' +
    'suffixes k, m and g. When one limit cannot be set, none is changed.';
  static override args = containerId;
  static override flags = {
    resources: Flags.string({
      char: 'r',
      description:
        'file with an object as linux.resources of config.json, - for standard input; the flags ' +
        'below are ignored then',
      helpValue: 'FILE',
    }),
    'blkio-weight': limit('share of block I/O, 10 to 1000'),
    'cpu-period': limit('period of the CPU quota, microseconds'),
    'cpu-quota': limit('CPU time in each period, microseconds'),
    'cpu-burst': limit('unused CPU time that may be saved up, microseconds'),
    'cpu-share': limit('share of CPU time, 2 to 262144'),
    'cpu-rt-period': limit('is refused: cgroup v2 does not have it'),
    'cpu-rt-runtime': limit('is refused: cgroup v2 does not have it'),
    'cpu-idle': limit('1 to run only when nothing else does'),
    'cpuset-cpus': limit('CPUs that may be used', 'LIST'),
    'cpuset-mems': limit('memory nodes that may be used', 'LIST'),
    memory: limit('memory', 'SIZE'),
    'memory-reservation': limit('memory that is reclaimed last', 'SIZE'),
    'memory-swap': limit('memory and swap together', 'SIZE'),
    'pids-limit': limit('processes and threads'),
    'l3-cache-schema': limit('is not supported yet', 'SCHEMA'),
    'mem-bw-schema': limit('is not supported yet', 'SCHEMA'),
    'kernel-memory': ignored(),
    'kernel-memory-tcp': ignored(),
  };
}

export class List extends Verb {
  static override summary = 'list the containers below the root';
  static override flags = {
    format: format('table or json'),
    quiet: Flags.boolean({ char: 'q', description: 'print the names only' }),
  };
}

export class Pause extends Verb {
  static override summary = 'stop every process of a container where it is';
  static override args = containerId;
}

export class Resume extends Verb {
  static override summary = 'let a paused container go on';
  static override args = containerId;
}

export class Ps extends Verb {
  static override summary = 'show the processes of a container';
  static override description =
    'The table is that of the program ps of the host, with the lines of the container. Everything ' +
    'after the name of the container is for ps (default: -ef).';
  static override payload = true;
  static override args = {
    ...containerId,
    arguments: Args.string({
      name: 'ARGUMENTS',
      multiple: true,
      description: 'arguments of ps, as aux; the column PID must be among those shown',
    }),
  };
  static override flags = { format: format('table or json') };
}

export class Events extends Verb {
  static override summary = 'print statistics of a container as JSON, and its OOM kills';
  static override description =
    'A line each interval until the container has no process any more. A line of the type oom ' +
    'says at which level of the cgroup tree the memory ran out.';
  static override args = containerId;
  static override flags = {
    interval: Flags.string({
      description: 'time between two lines, as 300ms, 5s or 1m30s (default: 5s)',
      helpValue: 'TIME',
    }),
    stats: Flags.boolean({ description: 'print the statistics of now and end' }),
  };
}

export class Top extends Verb {
  static override summary = 'watch what every running container uses';
  static override description =
    'Processor, memory, processes and I/O of each container, refreshed in place; q or ctrl-C ends ' +
    'it. Where the output is no terminal, the table is printed at each refresh.';
  static override flags = {
    format: format('table or json, a document a line'),
    interval: Flags.string({
      description: 'time between two refreshes, as 500ms or 2s (default: 2s)',
      helpValue: 'TIME',
    }),
    'no-stream': Flags.boolean({ description: 'print it once and end' }),
  };
}

export class Spec extends Verb {
  static override summary = 'write a config.json to begin with';
  static override description =
    'The file is config.json in the bundle directory and must not exist. Edit it and put a root ' +
    'filesystem into the directory rootfs beside it.';
  static override flags = {
    bundle,
    rootless: Flags.boolean({ description: 'a configuration for a user without privileges' }),
    seccomp: Flags.boolean({ description: "with Docker's default filter of system calls" }),
  };
}

/** What goes on when the process that waited in the foreground needs a decision (container/run.ts). */
export class Finish extends Verb {
  static override summary = 'end a foreground run or exec';
  static override hidden = true;
  static override payload = true;
  static override args = {
    verb: Args.string({ name: 'VERB', required: true, description: 'run or exec' }),
    words: Args.string({
      name: 'WORDS',
      required: true,
      multiple: true,
      description: 'of run: keep or delete, and the container; of exec: the program',
    }),
  };
  static override flags = { 'preserve-fds': preserveFds };
}

export const RUNC_VERBS = {
  create: Create,
  start: Start,
  state: State,
  kill: Kill,
  delete: Delete,
  run: Run,
  exec: Exec,
  list: List,
  update: Update,
  pause: Pause,
  resume: Resume,
  ps: Ps,
  events: Events,
  top: Top,
  spec: Spec,
  finish: Finish,
};
