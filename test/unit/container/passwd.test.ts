/** HOME from a passwd that comes from the image (passwd(5)). */

import { expect, test } from 'vitest';
import { homeOf } from '../../../src/libcontainer/container/passwd.ts';

const passwd = [
  '# a comment',
  'root:x:0:0:root:/root:/bin/sh',
  'short:x:7:7:/short',
  'me:x:1000:1000:Me:/home/me:/bin/sh',
  'other:x:1000:1000::/home/other:/bin/sh',
  'relative:x:1001:1::home:/bin/sh',
  'none:x:1002:1:::/bin/sh',
  'evil:x:1003:1::/h\tome:/bin/sh',
  'escape:x:1004:1::/h\u001b[31m:/bin/sh',
  'more:x:1005:1::/h:/bin/sh:and:more',
  'zero:x:01006:1::/h:/bin/sh',
  'crlf:x:1007:1::/home/crlf:/bin/sh\r',
  'wide:x:1008:1::/home/wïde:/bin/sh',
].join('\n');

test.each([
  [0, '/root'],
  [1000, '/home/me'],
  [1001, '/'],
  [1002, '/'],
  [1003, '/'],
  [1004, '/'],
  [1005, '/h'],
  [1006, '/'],
  [1007, '/home/crlf'],
  [1008, '/home/wïde'],
  [7, '/'],
  [4711, '/'],
])('of uid %i: %s', (uid, home) => {
  expect(homeOf(Buffer.from(passwd), uid)).toBe(home);
});

test.each([
  ['nothing', new Uint8Array(0)],
  ['bytes that are no text', Uint8Array.of(0, 255, 10, 58, 58, 0)],
])('of %s: /', (_, bytes) => {
  expect(homeOf(bytes, 0)).toBe('/');
});
