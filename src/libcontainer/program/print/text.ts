/**
 * Bytes as text: quoted and escaped so that one op stays one line, shortened unless asked not to.
 *
 * Valid UTF-8 is shown as it is but for control characters, `"` and `\`; any other byte is `\xNN`.
 * What is shown determines the bytes: two different strings never print alike when whole.
 */

/** Longer strings are cut to at most this many bytes. */
const SHOWN = 96;

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** `"text"`, or `"the beginning"… (65536 bytes)`. */
export function quote(bytes: Uint8Array, whole: boolean): string {
  if (whole || bytes.length <= SHOWN) return `"${escaped(bytes)}"`;
  return `"${escaped(bytes.subarray(0, boundary(bytes)))}"… (${bytes.length} bytes)`;
}

/** Text on a line of its own: escaped like a string, but not quoted. */
export function plain(text: string): string {
  let out = '';
  for (const char of text) {
    out += char === '"' || char === '\\' ? char : escapedPoint(char.codePointAt(0)!);
  }
  return out;
}

/** Where to cut so that no UTF-8 sequence is split: at most three bytes before SHOWN. */
function boundary(bytes: Uint8Array): number {
  for (let end = SHOWN; end > SHOWN - 4; end--) {
    if ((bytes[end]! & 0xc0) !== 0x80) return end;
  }
  return SHOWN;
}

function escaped(bytes: Uint8Array): string {
  let out = '';
  try {
    for (const char of decoder.decode(bytes)) out += escapedPoint(char.codePointAt(0)!);
  } catch {
    out = '';
    for (const byte of bytes) out += byte < 0x80 ? escapedPoint(byte) : hexByte(byte);
  }
  return out;
}

function escapedPoint(point: number): string {
  if (point === 0x22) return '\\"';
  if (point === 0x5c) return '\\\\';
  if (point === 0x0a) return '\\n';
  if (point === 0x09) return '\\t';
  if (point < 0x20 || point === 0x7f) return hexByte(point);
  return hidden(point) ? `\\u{${point.toString(16)}}` : String.fromCodePoint(point);
}

/** C1 controls, separators, BOM and bidirectional controls would change how the line looks. */
function hidden(point: number): boolean {
  return (
    (point >= 0x80 && point < 0xa0) ||
    point === 0xad ||
    (point >= 0x200b && point <= 0x200f) ||
    (point >= 0x2028 && point <= 0x202e) ||
    (point >= 0x2060 && point <= 0x206f) ||
    point === 0xfeff
  );
}

function hexByte(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`;
}
