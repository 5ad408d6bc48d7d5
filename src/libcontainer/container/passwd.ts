/**
 * HOME from the container's /etc/passwd (passwd(5)), as runc's finalizeNamespace does: the first
 * line with the uid; `/` where there is none. The text comes from the image and is hostile: only
 * the sixth field of a well-formed line is taken, and only if it is an absolute path.
 */

export function homeOf(passwd: Uint8Array, uid: number): string {
  const text = new TextDecoder().decode(passwd);
  for (const line of text.split('\n')) {
    const fields = line.split(':');
    if (fields.length < 7 || fields[2] !== String(uid)) continue;
    const home = fields[5]!;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    return home.startsWith('/') && !/[\u0000-\u001f\u007f]/.test(home) ? home : '/';
  }
  return '/';
}
