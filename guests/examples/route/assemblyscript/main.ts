// Hands a copy of what was deleted or blocked to the callback that its configuration names.
import { emit, event, path, tidy, Verdict } from "../../../sdk/assemblyscript/auditrelay";

const action = path("action");
const target = path("to");

export function auditrelay_event(): i32 {
  tidy();
  if (action.is("deleted") || action.is("blocked")) emit(target.findConfig().text(), event());
  return Verdict.Keep;
}
