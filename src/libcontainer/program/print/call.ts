/** What a formatter of an argument is given: the call, the memory, the names, the options. */

import type { Image, Word } from './image.ts';
import { hex } from './names.ts';
import type { Places } from './places.ts';

export interface PrintOptions {
  /** Show the values of environment variables; otherwise `KEY=…`. */
  readonly secrets?: boolean;
  /** Show strings whole, however long. */
  readonly whole?: boolean;
  /** `false`: jumps go to labels and ops have no number, so that one more op changes one line. */
  readonly numbers?: boolean;
}

/** One system call being decoded. */
export interface Call {
  readonly image: Image;
  readonly places: Places;
  readonly options: PrintOptions;
  readonly name: string;
  readonly args: readonly Word[];
  /** Tells what is wrong with the argument. */
  readonly problem: (text: string) => void;
}

export type Formatter = (value: bigint, call: Call, position: number) => string;

/** The size that an argument gives, undefined when it is only known when the op runs. */
export function sizeAt(call: Call, position: number): number | undefined {
  const word = call.args[position];
  if (word === undefined || word.loaded) return undefined;
  // No memory is that large: checkPlace reports it, and it does not overflow a number here.
  return Number(word.value > 0xffffffffn ? 0xffffffffn : word.value);
}

/** Whether `size` bytes at `address` are all the program's; tells it when they are not. */
export function checkPlace(address: bigint, size: number, call: Call): boolean {
  if (call.image.holds(address, size)) return true;
  call.problem(`${size} bytes at ${hex(address)} are not inside the data or the data page`);
  return false;
}
