// Keeps one in ten updates, by the event's place in the journal, and everything else.
import { path, reason, sequence, tidy, Verdict } from "../../../sdk/assemblyscript/auditrelay";

const action = path("action");

export function auditrelay_event(): i32 {
  tidy();
  if (action.is("updated") && sequence() % 10 != 0) {
    reason("not in the sample");
    return Verdict.Drop;
  }
  return Verdict.Keep;
}
