/**
 * Bundles that runcell makes: for `container run --image` over an overlay, for `container create
 * --rootfs` over a directory of the user's; and their removal with the container.
 *
 * runtime-spec 1.3 bundle.md. Nothing is made for an id that is taken. A verb that fails takes back
 * what it made, and what a killed one leaves is found by its record (record.ts). `delete` may only
 * remove what these functions name as owned: a bundle or rootfs of the user's never is.
 */

import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  realpathSync,
  rmdirSync,
  statSync,
} from 'node:fs';
import type { Config } from '@opencontainers-ts/spec';
import { isRuncellError, RuncellError, toRuncellError } from '../error.ts';
import type { Context } from '../libcontainer/container/context.ts';
import {
  checkId,
  type Layout,
  layoutOf,
  prepareRoot,
  stateDirOf,
} from '../libcontainer/store/state-dir.ts';
import { loadBundle } from '../oci/bundle.ts';
import { stringifyJson } from '../oci/json.ts';
import { containerConfig } from './container-config.ts';
import { prepareImage, removeImage, undone } from './image.ts';
import { findImage } from './image-source.ts';
import { CONFIG, LAYER, RECORD } from './layout.ts';
import {
  checkContents,
  loadImageRecord,
  nowSeconds,
  recordNames,
  temporaryOf,
  writeRecord,
  writeWhole,
} from './record.ts';
import { OpenDirectory, removeFiles } from './remove-tree.ts';

/** Directories that runcell made for a container and its delete removes. */
export interface Owned {
  readonly bundle?: string;
  readonly image?: string;
}

export interface MadeBundle {
  readonly bundle: string;
  readonly rootfs: string;
  readonly owned: Owned;
}

export interface ImageBundleRequest {
  readonly id: string;
  readonly image: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly tty: boolean;
  /** Whether stdin stays open: the caller's part, the configuration has no word for it. */
  readonly interactive: boolean;
}

/** `container run`: an overlay of the image and a bundle over it. */
export function buildBundle(context: Context, request: ImageBundleRequest): MadeBundle {
  const { id, tty } = request;
  checkId(id);
  const source = findImage(request.image, context.cwd);
  const layout = prepareRoot(context.root, { explicit: context.explicitRoot });
  refuseTaken(layout, id);
  const { rootfs } = prepareImage(layout, { id, source, maker: 'container run' });
  const image = `${layout.containers}/${id}`;
  try {
    const args = [request.command, ...request.args];
    const bundle = `${layout.bundles}/${id}`;
    makeBundle(bundle, id, containerConfig({ id, rootfs, args, tty }));
    return { bundle, rootfs, owned: { bundle, image } };
  } catch (thrown) {
    throw undone(thrown, () => removeImage(context, image));
  }
}

export interface RootfsBundleRequest {
  readonly id: string;
  /** Absolute. */
  readonly rootfs: string;
  /** Absolute. */
  readonly bundle?: string;
}

/** `container create --rootfs`: the user's bundle where it has a configuration, else one for it. */
export function bundleForRootfs(context: Context, request: RootfsBundleRequest): MadeBundle {
  const { id, rootfs } = request;
  checkId(id);
  const realRootfs = realDirectory(rootfs);
  const layout = prepareRoot(context.root, { explicit: context.explicitRoot });
  refuseTaken(layout, id);
  const image = pulledImage(layout, id, realRootfs);
  const bundle = request.bundle ?? `${layout.bundles}/${id}`;
  const owned = image === undefined ? {} : { image };
  if (existsSync(`${bundle}/${CONFIG}`) && request.bundle !== undefined) {
    checkRootPath(bundle, rootfs, realRootfs);
    return { bundle, rootfs, owned };
  }
  const config = containerConfig({ id, rootfs, args: ['/bin/sh'], tty: false });
  if (request.bundle !== undefined && existsSync(request.bundle)) {
    // The directory is the user's and stays; only its missing document is written.
    writeDocument(bundle, config);
    return { bundle, rootfs, owned };
  }
  makeBundle(bundle, id, config);
  return { bundle, rootfs, owned: { ...owned, bundle } };
}

function refuseTaken(layout: Layout, id: string): void {
  if (!existsSync(stateDirOf(layout.root, id))) return;
  const reason = 'container with given ID already exists';
  throw new RuncellError({ code: 'state.exists', target: id, reason });
}

function realDirectory(rootfs: string): string {
  try {
    const real = realpathSync.native(rootfs);
    if (statSync(real).isDirectory()) return real;
  } catch (thrown) {
    throw toRuncellError(thrown, { code: 'config.rootfs', operation: 'rootfs', target: rootfs });
  }
  const reason = 'is not a directory';
  throw new RuncellError({ code: 'config.rootfs', operation: 'rootfs', target: rootfs, reason });
}

/** The image that `storage pull` made for this very id goes with its container. */
function pulledImage(layout: Layout, id: string, realRootfs: string): string | undefined {
  const image = `${layout.containers}/${id}`;
  if (!existsSync(`${image}/${RECORD.image}`)) return undefined;
  return realpathSync.native(`${image}/${LAYER.rootfs}`) === realRootfs ? image : undefined;
}

/** A configuration that is there is used as it is; it must mean the same directory. */
function checkRootPath(bundle: string, rootfs: string, realRootfs: string): void {
  let configured: string | undefined;
  try {
    configured = loadBundle(bundle).rootfsPath;
    if (realpathSync.native(configured) === realRootfs) return;
  } catch (thrown) {
    if (!isRuncellError(thrown) || thrown.code !== 'config.rootfs') throw thrown;
    configured = thrown.fields.target;
  }
  throw new RuncellError({
    code: 'config.rootfs',
    specPath: 'root.path',
    target: configured,
    reason: `${bundle}/${CONFIG} names another directory than --rootfs ${rootfs}`,
    hint: 'leave one of the two out',
  });
}

/** Makes the directory, its record and its document, or nothing. */
function makeBundle(bundle: string, id: string, config: Config): void {
  try {
    mkdirSync(bundle, { mode: 0o700 });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw toRuncellError(thrown, { code: 'storage.operation' });
    }
    const fields = { operation: 'bundle of container', target: id, reason: 'already exists' };
    const hint = `\`delete --force ${id}\` removes it`;
    throw new RuncellError({ code: 'state.exists', ...fields, hint });
  }
  try {
    writeRecord(bundle, RECORD.bundle, { version: 1, id, created: nowSeconds() });
    writeDocument(bundle, config);
  } catch (thrown) {
    throw undone(thrown, () => removeBundle(bundle));
  }
}

function writeDocument(bundle: string, config: Config): void {
  try {
    writeWhole(bundle, CONFIG, `${stringifyJson(config, 2)}\n`);
  } catch (thrown) {
    throw toRuncellError(thrown, { code: 'storage.operation' });
  }
}

/** `delete`: removes what was made for the container; what is already gone is none. */
export function removeOwned(context: Context, id: string, owned: Owned): void {
  const failures: RuncellError[] = [];
  const attempt = (step: () => void) => {
    try {
      step();
    } catch (thrown) {
      failures.push(toRuncellError(thrown));
    }
  };
  const image = `${layoutOf(context.root).containers}/${id}`;
  if (owned.image === image && exists(image)) attempt(() => removeImage(context, image));
  const { bundle } = owned;
  if (bundle !== undefined && exists(bundle)) attempt(() => removeBundle(bundle));
  const [first, second] = failures;
  if (first === undefined) return;
  throw second === undefined ? first : first.with({ undo: [second.message] });
}

/**
 * `delete --force` of an id without state: removes what a killed `container run` or `container
 * create` left before there was one. True when there was something.
 */
export function removeLeftovers(context: Context, id: string): boolean {
  checkId(id);
  const layout = layoutOf(context.root);
  const image = `${layout.containers}/${id}`;
  const bundle = `${layout.bundles}/${id}`;
  const owned: { image?: string; bundle?: string } = {};
  if (exists(image) && isLeftImage(image)) owned.image = image;
  if (exists(bundle) && isLeftBundle(bundle)) owned.bundle = bundle;
  removeOwned(context, id, owned);
  return owned.image !== undefined || owned.bundle !== undefined;
}

function isLeftImage(image: string): boolean {
  if (!existsSync(`${image}/${RECORD.image}`)) return isUnrecorded(image, RECORD.image);
  return loadImageRecord(image, RECORD.image).maker === 'container run';
}

function isLeftBundle(bundle: string): boolean {
  return existsSync(`${bundle}/${RECORD.bundle}`) || isUnrecorded(bundle, RECORD.bundle);
}

/** Empty, or with half a record: killed before it was anything. */
function isUnrecorded(directory: string, recordName: string): boolean {
  return readdirSync(directory).every((name) => name === temporaryOf(recordName));
}

const DOCUMENTS = [CONFIG, temporaryOf(CONFIG)];

function removeBundle(bundle: string): void {
  checkContents(bundle, RECORD.bundle, DOCUMENTS);
  using open = new OpenDirectory(bundle);
  removeFiles(open, [...DOCUMENTS, ...recordNames(RECORD.bundle)]);
  try {
    rmdirSync(bundle);
  } catch (thrown) {
    throw toRuncellError(thrown, { code: 'storage.operation' });
  }
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}
