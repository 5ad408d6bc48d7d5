/**
 * How an argument of each kind is shown, and what about it can be wrong.
 *
 * One formatter a kind; the static checks run the same formatters and collect the problems they
 * find (a pointer outside the data, an unterminated string, an unknown struct size). Signed kinds
 * look at the 32 low bits only, as the kernel does for an `int`.
 */

import { AT_FDCWD } from '../../linux/fcntl.ts';
import { IOPRIO_CLASS_SHIFT } from '../../linux/sched.ts';
import { S_IFMT } from '../../linux/stat.ts';
import { MESSAGE_SIZE, SIGNAL_EXIT } from '../op.ts';
import {
  capabilityHeader,
  capabilitySets,
  cpus,
  groups,
  interfaceRequest,
  message,
  nodes,
  pollFds,
  socketAddress,
} from './arrays.ts';
import { bpfAttach, bpfLoad } from './bpf.ts';
import { type Call, checkPlace, type Formatter, sizeAt } from './call.ts';
import { filter } from './filter.ts';
import type { Word } from './image.ts';
import {
  ENUMS,
  type EnumName,
  enumName,
  FLAGS,
  type FlagsName,
  flagSet,
  hex,
  number,
  openFlags,
} from './names.ts';
import { netlinkMessage } from './netlink.ts';
import { signalMask, signalName } from './signals.ts';
import { type Field, STRUCTS, type StructName } from './structs.ts';
import { quote } from './text.ts';

const SIMPLE = {
  number: (value) => number(value),
  int: (value) => String(BigInt.asIntN(32, value)),
  octal: (value) => octal(value),
  limit: (value) => (BigInt.asIntN(64, value) === -1n ? 'RLIM_INFINITY' : String(value)),
  permission: (value) => hex(value),
  address: (value, call) => (value === 0n ? 'NULL' : `&${call.places.whole(value)}`),
  null: (value) => (value === 0n ? 'NULL' : hex(value)),
  fd: (value) => String(BigInt.asIntN(32, value)),
  rangeFd: (value) =>
    BigInt.asUintN(32, value) === 0xffffffffn ? '~0' : String(BigInt.asUintN(32, value)),
  dirFd: (value) => {
    const fd = BigInt.asIntN(32, value);
    return fd === BigInt(AT_FDCWD) ? 'AT_FDCWD' : String(fd);
  },
  pid: (value) => String(BigInt.asIntN(32, value)),
  id: (value) => {
    const id = BigInt.asUintN(32, value);
    return id === 0xffffffffn ? '-1' : String(id);
  },
  signal: (value) => signalName(Number(BigInt.asUintN(32, value))),
  signalMask: (value) => signalMask(value),
  device: (value) => (value === 0n ? '0' : `makedev(${(value >> 8n) & 0xfffn}, ${minorOf(value)})`),
  nodeMode: (value) => {
    const type = enumName(value & BigInt(S_IFMT), ENUMS.fileType);
    const mode = value & ~BigInt(S_IFMT);
    return (value & BigInt(S_IFMT)) === 0n ? octal(mode) : `${type}|${octal(mode)}`;
  },
  openFlags: (value, call) => openFlags(value, call.image.program.arch),
  /** Only the flags, no access mode: pipe2, dup3, eventfd2 and their like. */
  openFlagsOnly: (value, call) =>
    openFlags(value, call.image.program.arch).replace(/^O_RDONLY\|?/, '') || '0',
  socketType: (value) => {
    const type = enumName(value & 0xfn, ENUMS.socketType);
    const flags = value & ~0xfn;
    return flags === 0n ? type : `${type}|${flagSet(flags, FLAGS.socket)}`;
  },
  ioPriority: (value) => {
    const shift = BigInt(IOPRIO_CLASS_SHIFT);
    const level = value & ((1n << shift) - 1n);
    return `${enumName(value >> shift, ENUMS.ioprioClass)}|${level}`;
  },
  cloneFlags: (value) => {
    const signal = signalName(Number(value & 0xffn));
    const flags = value & ~0xffn;
    return flags === 0n ? signal : `${flagSet(flags, FLAGS.clone)}|${signal}`;
  },
  memoryPolicy: (value) => {
    const mode = value & ((1n << 13n) - 1n);
    const name = enumName(mode, ENUMS.memoryPolicy);
    return mode === value ? name : `${name}|${flagSet(value - mode, FLAGS.memoryPolicy)}`;
  },
  handler: (value) => {
    if (value === 0n) return 'SIG_DFL';
    if (value === 1n) return 'SIG_IGN';
    return value === BigInt(SIGNAL_EXIT) ? 'signal_exit' : hex(value);
  },
  text: (value, call) => text(value, call),
  path: (value, call) => text(value, call),
  bytes: (value, call, position) => bytes(value, call, position),
  datagram: (value, call, position) =>
    netlinkMessage(value, call, position) ?? bytes(value, call, position),
  buffer: (value, call, position) => buffer(value, call, sizeAt(call, position + 1)),
  intAt: (value, call) => intAt(value, call),
  argv: (value, call) => stringArray(value, call, (item) => item),
  envp: (value, call) => stringArray(value, call, environment(call)),
  signalSet: (value, call) => signalSet(value, call),
  bpfAttach,
  bpfLoad,
  capabilityHeader,
  capabilitySets,
  cpus,
  groups,
  filter,
  interfaceRequest,
  message,
  nodes,
  pollFds,
  socketAddress,
} satisfies Record<string, Formatter>;

export type ScalarKind = keyof typeof SIMPLE | `flags:${FlagsName}` | `enum:${EnumName}`;
export type Kind = ScalarKind | `in:${StructName}` | `out:${StructName}`;

/** One argument as text; `position` is its place among the call's arguments. */
export function formatArgument(kind: Kind, word: Word, call: Call, position: number): string {
  if (!word.loaded) return formatValue(kind, word.value, call, position);
  checkPlace(word.value, 8, call);
  return call.places.name(word.value);
}

function formatValue(kind: Kind, value: bigint, call: Call, position: number): string {
  const [family, name] = kind.split(':') as [string, string | undefined];
  if (name === undefined)
    return (SIMPLE[family as keyof typeof SIMPLE] as Formatter)(value, call, position);
  switch (family) {
    case 'flags':
      return flagSet(narrowFlags(value), FLAGS[name as FlagsName]);
    case 'enum':
      return enumName(BigInt.asUintN(32, value), ENUMS[name as EnumName]);
    case 'in':
      return struct(name as StructName, value, call);
    default:
      return output(name as StructName, value, call);
  }
}

/** -1 is the one negative set of flags: all of them. */
function narrowFlags(value: bigint): bigint {
  return value >= 1n << 63n ? BigInt.asUintN(32, value) : value;
}

function struct(name: StructName, address: bigint, call: Call): string {
  if (address === 0n) return 'NULL';
  const { size, fields } = STRUCTS[name] as { size: number; fields: readonly Field[] };
  registerStruct(name, address, call);
  if (!checkPlace(address, size, call)) return hex(address);
  if (call.image.region(address) === 'page') return `&${call.places.whole(address)}`;
  const shown: string[] = [];
  for (const field of fields) {
    const at = address + BigInt(field.at);
    if (call.image.stored.has(at)) {
      shown.push(`${field.name}=<stored>`);
      continue;
    }
    const value = call.image.read(at, field.size)!;
    if (value === 0n && field.always !== true) continue;
    shown.push(`${field.name}=${formatValue(field.kind, value, call, 0)}`);
  }
  return `{${shown.join(', ')}}`;
}

/** A struct that the kernel fills. */
function output(name: StructName, address: bigint, call: Call): string {
  if (address === 0n) return 'NULL';
  registerStruct(name, address, call);
  call.places.registerFilled(address, STRUCTS[name].size, call.name);
  checkPlace(address, STRUCTS[name].size, call);
  return `&${call.places.whole(address)}`;
}

function registerStruct(name: StructName, address: bigint, call: Call): void {
  const { size, fields } = STRUCTS[name] as { size: number; fields: readonly Field[] };
  call.places.register(address, size, call.name);
  for (const field of fields) {
    const dotted = field.name.startsWith('[') ? field.name : `.${field.name}`;
    call.places.field(address, field.at, dotted);
  }
}

/** A NUL-terminated string, or the place of one that the program itself reads into. */
function text(address: bigint, call: Call): string {
  if (address === 0n) return 'NULL';
  if (call.places.isFilled(address)) return `&${call.places.whole(address)}`;
  if (call.image.region(address) === 'page') return `&${call.places.whole(address)}`;
  const content = call.image.string(address);
  if (content !== undefined) return quote(content, call.options.whole === true);
  call.problem(`string at ${hex(address)} is outside of the data or not terminated`);
  return hex(address);
}

/** Bytes whose number the next argument says. */
function bytes(address: bigint, call: Call, position: number): string {
  const size = sizeAt(call, position + 1);
  if (address === 0n) return 'NULL';
  if (call.image.region(address) === 'code') return 'image';
  if (size === undefined || call.places.isFilled(address)) return buffer(address, call, size);
  if (!checkPlace(address, size, call)) return hex(address);
  if (call.image.region(address) === 'page') return `&${call.places.whole(address)}`;
  const words = storedWords(address, size, call);
  return words ?? content(address, size, call);
}

/** A message of the program (docs/program.md) or other words that results were stored into. */
function storedWords(address: bigint, size: number, call: Call): string | undefined {
  const isMessage = size >= MESSAGE_SIZE && isChannel(call.args[0], call);
  const words = isMessage ? MESSAGE_SIZE / 8 : Math.floor(size / 8);
  const places = Array.from({ length: words }, (_, i) => address + BigInt(8 * i));
  if (!isMessage && !places.some((at) => call.image.stored.has(at))) return undefined;
  call.places.register(address, 8 * words, isMessage ? 'message' : call.name);
  const shown = places.map((at, i) => {
    const name = isMessage ? MESSAGE_FIELDS[i]! : `[${i}]`;
    call.places.field(address, 8 * i, isMessage ? `.${name}` : name);
    const value = call.image.stored.has(at) ? '<stored>' : number(call.image.read(at, 8)!);
    return isMessage ? `${name}=${value}` : value;
  });
  const rest = address + BigInt(8 * words);
  if (size === 8 * words) return `{${shown.join(', ')}}`;
  return `{${shown.join(', ')}} + ${content(rest, size - 8 * words, call)}`;
}

const MESSAGE_FIELDS = ['tag', 'a', 'b', 'length'];

/** Whether messages go there: the compiler's end of ctl, or of err. */
function isChannel(word: Word | undefined, call: Call): boolean {
  if (word?.loaded !== true) return false;
  const name = call.places.name(word.value);
  return name === 'ctl' || name === 'err';
}

function content(address: bigint, size: number, call: Call): string {
  if (call.places.isFilled(address)) return `&${call.places.whole(address)}`;
  return quote(call.image.bytes(address, size)!, call.options.whole === true);
}

/** Memory that the kernel fills; the size may only be known when the op runs. */
function buffer(address: bigint, call: Call, size: number | undefined): string {
  if (address === 0n) return 'NULL';
  call.places.registerFilled(address, size ?? 1, call.name);
  checkPlace(address, size ?? 1, call);
  return `&${call.places.whole(address)}`;
}

function intAt(address: bigint, call: Call): string {
  if (!checkPlace(address, 4, call)) return hex(address);
  const value = call.image.read(address, 4);
  return value === undefined ? `&${call.places.whole(address)}` : `[${BigInt.asIntN(32, value)}]`;
}

function stringArray(
  address: bigint,
  call: Call,
  show: (item: Uint8Array) => Uint8Array | string,
): string {
  if (address === 0n) return 'NULL';
  const shown: string[] = [];
  call.places.register(address, 8, call.name);
  for (let at = address; ; at += 8n) {
    if (call.image.stored.has(at)) {
      shown.push('<stored>');
      continue;
    }
    const pointer = call.image.read(at, 8);
    if (pointer === undefined) {
      call.problem(`array of strings at ${hex(address)} does not end inside the data`);
      return `[${shown.join(', ')}, …`;
    }
    if (pointer === 0n) return `[${shown.join(', ')}]`;
    call.places.register(address, Number(at - address) + 16, call.name);
    call.places.field(address, Number(at - address), `[${shown.length}]`);
    const item = call.image.string(pointer);
    if (item === undefined) shown.push(text(pointer, call));
    else shown.push(quoteItem(show(item), call));
  }
}

function quoteItem(item: Uint8Array | string, call: Call): string {
  return typeof item === 'string' ? item : quote(item, call.options.whole === true);
}

/** `KEY=…`: values of the environment are secrets (security.md P11). */
function environment(call: Call): (item: Uint8Array) => Uint8Array | string {
  if (call.options.secrets === true) return (item) => item;
  return (item) => {
    const equals = item.indexOf(0x3d);
    if (equals === -1) return item;
    return `${quote(item.subarray(0, equals + 1), call.options.whole === true).slice(0, -1)}…"`;
  };
}

function signalSet(address: bigint, call: Call): string {
  if (address === 0n) return 'NULL';
  if (!checkPlace(address, 8, call)) return hex(address);
  const value = call.image.read(address, 8);
  return value === undefined ? `&${call.places.whole(address)}` : signalMask(value);
}

function octal(value: bigint): string {
  return value === 0n ? '0' : `0${value.toString(8)}`;
}

/** new_decode_dev in linux/kdev_t.h, the inverse of makedev in linux/stat.ts. */
function minorOf(value: bigint): bigint {
  return (value & 0xffn) | ((value >> 12n) & 0xfff00n);
}
