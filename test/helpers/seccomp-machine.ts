/**
 * A machine for the classic BPF of seccomp filters: what a filter returns for one call, by reading its
 * bytes and nothing of ours. linux/filter.h, seccomp(2): struct seccomp_data is 64 bytes.
 */

export interface Call {
  readonly arch: number;
  readonly nr: number;
  readonly args?: readonly bigint[];
}

/** The returned action; throws for anything the kernel would not load. */
export function runFilter(program: Uint8Array, call: Call): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call.nr >>> 0, true);
  data.setUint32(4, call.arch, true);
  call.args?.forEach((value, i) => {
    data.setBigUint64(16 + 8 * i, value, true);
  });
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const count = program.byteLength / 8;
  let accumulator = 0;
  for (let pc = 0; pc < count; pc++) {
    const k = code.getUint32(8 * pc + 4, true);
    const jump = (holds: boolean): void => {
      pc += code.getUint8(8 * pc + (holds ? 2 : 3));
    };
    switch (code.getUint16(8 * pc, true)) {
      case 0x20: // ld [k]
        if (k % 4 !== 0 || k > 60) throw new Error(`${pc}: load from ${k}`);
        accumulator = data.getUint32(k, true);
        break;
      case 0x54: // and #k
        accumulator = (accumulator & k) >>> 0;
        break;
      case 0x05: // ja
        pc += k;
        break;
      case 0x15: // jeq
        jump(accumulator === k);
        break;
      case 0x25: // jgt
        jump(accumulator > k);
        break;
      case 0x35: // jge
        jump(accumulator >= k);
        break;
      case 0x45: // jset
        jump((accumulator & k) !== 0);
        break;
      case 0x06: // ret #k
        return k;
      default:
        throw new Error(`${pc}: code 0x${code.getUint16(8 * pc, true).toString(16)}`);
    }
  }
  throw new Error('the filter ends without a return');
}

/** What the kernel checks before it loads a filter: known codes, jumps inside, a return at the end. */
export function checkFilter(program: Uint8Array): void {
  const count = program.byteLength / 8;
  if (count === 0 || count > 4096) throw new Error(`${count} instructions`);
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  for (let pc = 0; pc < count; pc++) {
    const op = code.getUint16(8 * pc, true);
    const k = code.getUint32(8 * pc + 4, true);
    const far = op === 0x05 ? k : Math.max(code.getUint8(8 * pc + 2), code.getUint8(8 * pc + 3));
    const jumps = (op & 7) === 5;
    if (jumps && pc + 1 + far >= count) throw new Error(`${pc}: jumps out of the filter`);
    if (![0x20, 0x54, 0x05, 0x15, 0x25, 0x35, 0x45, 0x06].includes(op))
      throw new Error(`${pc}: ${op}`);
  }
  if (code.getUint16(8 * (count - 1), true) !== 0x06) throw new Error('no return at the end');
}
