/**
 * `container …` and `storage …`, the verbs of the usage document, as oclif classes. Data only.
 *
 * `-i` is `--interactive`; `--id` has no short form (DESIGN.md §6).
 */

import { Flags } from '@oclif/core';
import { Verb } from './verb.ts';

const requiredId = Flags.string({
  required: true,
  description: 'name of the container',
  helpValue: 'ID',
});
const ownCommand = {
  command: Flags.string({
    char: 'c',
    description: 'program to run (default: /bin/sh)',
    helpValue: 'PATH',
  }),
  args: Flags.string({
    char: 'a',
    multiple: true,
    multipleNonGreedy: true,
    description: 'argument of the program; may be given again; so are all words after --',
    helpValue: 'WORD',
  }),
  tty: Flags.boolean({ char: 't', description: 'give the program a terminal' }),
  interactive: Flags.boolean({ char: 'i', description: 'keep stdin open' }),
};

/** One letter flags may be written together, as docker's `-it`. */
abstract class ContainerVerb extends Verb {
  static override bundling = true;
}

export class ContainerRun extends ContainerVerb {
  static override summary = 'create and start a container from an image';
  static override description =
    'The image is a directory with a root filesystem. The container sees it through an overlay, ' +
    'so the directory itself never changes.';
  static override examples = [
    '<%= config.bin %> container run --id test --image /path/to/rootfs --command /bin/sleep --args 180',
    '<%= config.bin %> container run --image /path/to/rootfs -it',
  ];
  static override rest = true;
  static override flags = {
    id: Flags.string({
      description: 'name of the container (default: one is made up)',
      helpValue: 'ID',
    }),
    image: Flags.string({
      char: 'm',
      required: true,
      description: 'directory of the image',
      helpValue: 'DIR',
    }),
    ...ownCommand,
    detach: Flags.boolean({
      char: 'd',
      description: 'print the name and return when the container runs',
    }),
  };
}

export class ContainerList extends ContainerVerb {
  static override summary = 'list containers';
  static override flags = {
    format: Flags.string({
      char: 'f',
      description: 'form of the output: table or json',
      helpValue: 'FORMAT',
    }),
    all: Flags.boolean({ char: 'a', description: 'also those that do not run' }),
  };
}

export class ContainerExec extends ContainerVerb {
  static override summary = 'run another program in a running container';
  static override rest = true;
  static override flags = { id: requiredId, ...ownCommand };
}

export class ContainerDelete extends ContainerVerb {
  static override summary = 'kill a container and remove what was made for it';
  static override flags = { id: requiredId };
}

export class ContainerCreate extends ContainerVerb {
  static override summary = 'create a container without starting it';
  static override flags = {
    id: requiredId,
    rootfs: Flags.string({ description: 'directory of the root filesystem', helpValue: 'DIR' }),
    bundle: Flags.string({ description: 'directory of the bundle', helpValue: 'DIR' }),
  };
}

export class ContainerStart extends ContainerVerb {
  static override summary = 'start a created container';
  static override flags = { id: requiredId };
}

const imageOwner = Flags.string({
  required: true,
  description: 'name of the container that the image is for',
  helpValue: 'ID',
});

export class StoragePull extends Verb {
  static override summary = 'bring an image into the directory of a container';
  static override flags = {
    image: Flags.string({ required: true, description: 'source of the image', helpValue: 'DIR' }),
    'container-id': imageOwner,
  };
}

export class StorageMount extends Verb {
  static override summary = 'mount a source on a target';
  static override flags = {
    source: Flags.string({ required: true, description: 'what to mount', helpValue: 'PATH' }),
    target: Flags.string({ required: true, description: 'where to mount it', helpValue: 'PATH' }),
    options: Flags.string({
      multiple: true,
      multipleNonGreedy: true,
      description: 'mount options, comma-separated; may be given again',
      helpValue: 'LIST',
    }),
  };
}

export class StorageUmount extends Verb {
  static override summary = 'unmount a target';
  static override flags = {
    target: Flags.string({ required: true, description: 'what to unmount', helpValue: 'PATH' }),
  };
}

export class StorageCleanup extends Verb {
  static override summary = 'remove the image of a container';
  static override flags = { 'container-id': imageOwner };
}

export const CONTAINER_VERBS = {
  'container:run': ContainerRun,
  'container:list': ContainerList,
  'container:exec': ContainerExec,
  'container:delete': ContainerDelete,
  'container:create': ContainerCreate,
  'container:start': ContainerStart,
};

export const STORAGE_VERBS = {
  'storage:pull': StoragePull,
  'storage:mount': StorageMount,
  'storage:umount': StorageUmount,
  'storage:cleanup': StorageCleanup,
};
