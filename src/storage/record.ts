/**
 * What runcell made in a directory, written into it before anything else (docs/state.md).
 *
 * The record is the proof that the other entries may be removed: a directory with an entry that
 * storage never makes, or with entries and no record, is somebody else's and is left alone. Only an
 * empty one, or one with a half-written record, is what a killed verb leaves. Written to another
 * name and renamed, so that it is whole or absent.
 */

import { readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { RuncellError } from '../error.ts';

export interface ImageRecord {
  readonly version: 1;
  readonly id: string;
  /** What `storage pull` made only `storage cleanup` or its container's delete removes. */
  readonly maker: 'storage pull' | 'container run';
  /** The image's directory, absolute. */
  readonly image: string;
  /** Where the overlay is mounted, absolute. */
  readonly rootfs: string;
  /** Epoch seconds. */
  readonly created: number;
}

export interface BundleRecord {
  readonly version: 1;
  readonly id: string;
  /** Epoch seconds. */
  readonly created: number;
}

export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** Exactly `content` in `directory/name`, 0600; a file of that name is replaced. */
export function writeWhole(directory: string, name: string, content: string): void {
  const temporary = `${directory}/${temporaryOf(name)}`;
  writeFileSync(temporary, content, { mode: 0o600 });
  renameSync(temporary, `${directory}/${name}`);
}

export function writeRecord(
  directory: string,
  name: string,
  record: ImageRecord | BundleRecord,
): void {
  writeWhole(directory, name, `${JSON.stringify(record, null, 2)}\n`);
}

export function loadImageRecord(directory: string, name: string): ImageRecord {
  const path = `${directory}/${name}`;
  try {
    const record = JSON.parse(readFileSync(path, 'utf8')) as ImageRecord;
    if (record.version === 1 && typeof record.rootfs === 'string') return record;
  } catch (thrown) {
    throw corrupt(path, thrown);
  }
  throw corrupt(path);
}

function corrupt(target: string, cause?: unknown): RuncellError {
  const reason = 'is not a record of this version of runcell';
  return new RuncellError({ code: 'state.corrupt', operation: 'read', target, reason, cause });
}

export function temporaryOf(name: string): string {
  return `.${name}.new`;
}

export interface Contents {
  /** Nothing is there but what a killed verb leaves before its record. */
  readonly unrecorded: boolean;
}

/** Refuses a directory with something in it that runcell did not make. */
export function checkContents(
  directory: string,
  recordName: string,
  known: readonly string[],
): Contents {
  const names = readdirSync(directory);
  const temporary = temporaryOf(recordName);
  const recorded = names.includes(recordName);
  const allowed = recorded ? [recordName, temporary, ...known] : [temporary];
  const foreign = names.find((name) => !allowed.includes(name));
  if (foreign === undefined) return { unrecorded: !recorded };
  throw new RuncellError({
    code: 'storage.operation',
    operation: 'remove',
    target: directory,
    reason: recorded
      ? `${foreign} in it is not runcell's`
      : `no ${recordName} says that runcell made it`,
    hint: 'move away what is to be kept, and remove the rest by hand',
  });
}

/** The record and what a killed writer leaves of it. */
export function recordNames(recordName: string): string[] {
  return [temporaryOf(recordName), recordName];
}
