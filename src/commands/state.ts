/**
 * `state ID`: runc's state document, two spaces of indent and no newline at the end, since go-runc
 * parses stdout as it is (reference/runtime-cli.md §2).
 */

import type { CommandLine } from '../argv.ts';
import type { Context } from '../libcontainer/container/context.ts';
import { viewContainer } from '../libcontainer/container/status.ts';
import { stringifyJson } from '../oci/json.ts';
import type { Output } from '../output.ts';
import { documentOf } from './document.ts';

export function state(context: Context, line: CommandLine, output: Output): undefined {
  const view = viewContainer(context, line.args[0]!);
  // `owner` is told by `list` alone.
  output.out(stringifyJson(documentOf({ ...view, owner: '' }), 2));
}
